//! What people see of a question, in logs and messages. Decides its form, which is consul-template's where it has one, as
//! `health.service(web|passing)`: people look for that in logs.

use std::fmt::{Display, Formatter, Result};

use super::{Query, ServiceQuery, Wanted};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let around = |name: &str, datacenter: &Option<String>, near: &Option<String>| {
            let mut text = name.to_owned();
            for (sign, part) in [('@', datacenter), ('~', near)] {
                if let Some(part) = part {
                    text.push(sign);
                    text.push_str(part);
                }
            }
            text
        };
        let (kind, text) = match self {
            Self::Service(of) => ("health.service", service(of, around)),
            Self::Services { datacenter } => ("catalog.services", around("", datacenter, &None)),
            Self::Nodes { datacenter, near } => ("catalog.nodes", around("", datacenter, near)),
            Self::Node { name, datacenter } => ("catalog.node", around(name.as_deref().unwrap_or_default(), datacenter, &None)),
            Self::Datacenters => ("catalog.datacenters", String::new()),
            Self::Key { path, datacenter } => ("kv.block", around(path, datacenter, &None)),
            Self::Keys { prefix, datacenter } => ("kv.list", around(prefix, datacenter, &None)),
            Self::File(path) => ("file", path.display().to_string()),
            Self::Selected { selector } => ("lobby.nodes", selector.clone()),
            Self::Instances { service, selector } => {
                let both = [service.as_deref().unwrap_or_default(), selector];
                ("lobby.instances", both.join(if selector.is_empty() { "" } else { "|" }))
            }
        };
        match text.as_str() {
            "" => f.write_str(kind),
            text => write!(f, "{kind}({text})"),
        }
    }
}

fn service(of: &ServiceQuery, around: impl Fn(&str, &Option<String>, &Option<String>) -> String) -> String {
    let tag = of.tag.as_ref().map(|tag| format!("{tag}.")).unwrap_or_default();
    let mut statuses: Vec<_> = of.statuses.iter().map(|wanted| wanted.name()).collect();
    statuses.sort_unstable();
    format!("{tag}{}|{}", around(&of.name, &of.datacenter, &of.near), statuses.join(","))
}

impl Wanted {
    /// As templates write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_reads_as_consul_template_writes_it() {
        let instances = |service: Option<&str>, selector: &str| Query::Instances {
            service: service.map(str::to_owned),
            selector: selector.into(),
        };
        for (query, want) in [
            (Query::service("web").unwrap(), "health.service(web|passing)"),
            (Query::service("v2.web@dc1~_agent|warning,critical").unwrap(), "health.service(v2.web@dc1~_agent|critical,warning)"),
            (Query::services("").unwrap(), "catalog.services"),
            (Query::services("@dc1").unwrap(), "catalog.services(@dc1)"),
            (Query::nodes("@dc1~n1").unwrap(), "catalog.nodes(@dc1~n1)"),
            (Query::node("").unwrap(), "catalog.node"),
            (Query::node("n1@dc1").unwrap(), "catalog.node(n1@dc1)"),
            (Query::Datacenters, "catalog.datacenters"),
            (Query::key("a/b@dc1").unwrap(), "kv.block(a/b@dc1)"),
            (Query::keys("a").unwrap(), "kv.list(a)"),
            (Query::File("/etc/x".into()), "file(/etc/x)"),
            (Query::Selected { selector: String::new() }, "lobby.nodes"),
            (Query::Selected { selector: "tag=a".into() }, "lobby.nodes(tag=a)"),
            (instances(None, ""), "lobby.instances"),
            (instances(Some("web"), ""), "lobby.instances(web)"),
            (instances(Some("web"), "tag=a"), "lobby.instances(web|tag=a)"),
            (instances(None, "tag=a"), "lobby.instances(|tag=a)"),
        ] {
            assert_eq!(query.to_string(), want);
        }
    }
}
