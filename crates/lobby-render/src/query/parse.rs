//! The arguments of `service`, `nodes`, `key` and their like, as consul-template spells them. Decides which characters stand
//! where: `tag.name?query@datacenter~near|filter`.

use super::{Query, ServiceQuery, Wanted};

/// An argument that is no question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    /// The text does not have the form.
    #[error("{function}: invalid format: \"{text}\"")]
    Format {
        /// consul-template's name for the kind of question, such as `health.service`.
        function: &'static str,
        /// The text.
        text: String,
    },
    /// A status that is none.
    #[error("health.service: invalid filter: \"{filter}\" in \"{text}\"")]
    Filter {
        /// The status.
        filter: String,
        /// The text.
        text: String,
    },
    /// What follows the `?` is nothing that anybody knows.
    #[error("{function}: unknown parameter \"{parameter}\" in \"{text}\": expected none")]
    Parameter {
        /// consul-template's name for the kind of question.
        function: &'static str,
        /// Its name.
        parameter: String,
        /// The text.
        text: String,
    },
    /// `?ns=`, `?partition=`, `?peer=`: there is one space of names here.
    #[error("{function}: \"{query}\" in \"{text}\" asks for another namespace, partition or peer, of which there are none")]
    Space {
        /// consul-template's name for the kind of question.
        function: &'static str,
        /// What follows the `?`.
        query: String,
        /// The text.
        text: String,
    },
}

/// The parts behind the name, each with its own characters, in this order.
struct Parts<'t> {
    name: &'t str,
    datacenter: Option<String>,
    near: Option<String>,
}

impl Query {
    /// `service`: with what is behind the `|` saying which statuses are wanted; without, passing ones.
    pub fn service(text: &str) -> Result<Self, InvalidQuery> {
        let invalid = || InvalidQuery::Format { function: "health.service", text: text.into() };
        let (head, filter) = match text.split_once('|') {
            Some((head, filter)) if is_of(filter, ",") => (head, Some(filter)),
            Some(_) => return Err(invalid()),
            None => (text, None),
        };
        let parts = parts("health.service", text, head, true)?;
        let (tag, name) = match parts.name.rsplit_once('.') {
            Some((tag, name)) => (Some(tag), name),
            None => (None, parts.name),
        };
        if !is_of(name, "-") || !tag.is_none_or(|tag| is_of(tag, "=:.-")) {
            return Err(invalid());
        }
        let (name, tag) = (name.to_owned(), tag.map(str::to_owned));
        let statuses = statuses(filter, text)?;
        Ok(Self::Service(ServiceQuery { name, tag, datacenter: parts.datacenter, near: parts.near, statuses }))
    }

    /// `services`, `nodes`: only what may stand around a name.
    pub fn services(text: &str) -> Result<Self, InvalidQuery> {
        let parts = unnamed("catalog.services", text, false)?;
        Ok(Self::Services { datacenter: parts.datacenter })
    }

    /// `nodes "@dc~near"`
    pub fn nodes(text: &str) -> Result<Self, InvalidQuery> {
        let parts = unnamed("catalog.nodes", text, true)?;
        Ok(Self::Nodes { datacenter: parts.datacenter, near: parts.near })
    }

    /// `node "name@dc"`; without a name it is the agent's own.
    pub fn node(text: &str) -> Result<Self, InvalidQuery> {
        let parts = parts("catalog.node", text, text, false)?;
        if !parts.name.is_empty() && !is_of(parts.name, ".-") {
            return Err(InvalidQuery::Format { function: "catalog.node", text: text.into() });
        }
        let name = (!parts.name.is_empty()).then(|| parts.name.to_owned());
        Ok(Self::Node { name, datacenter: parts.datacenter })
    }

    /// `key`, `keyExists`, `keyOrDefault`.
    pub fn key(text: &str) -> Result<Self, InvalidQuery> {
        let (path, datacenter) = path("kv.get", text)?;
        Ok(Self::Key { path, datacenter })
    }

    /// `ls`, `tree`.
    pub fn keys(text: &str) -> Result<Self, InvalidQuery> {
        let (prefix, datacenter) = path("kv.list", text)?;
        Ok(Self::Keys { prefix, datacenter })
    }
}

fn statuses(filter: Option<&str>, text: &str) -> Result<Vec<Wanted>, InvalidQuery> {
    let all = [Wanted::Any, Wanted::Passing, Wanted::Warning, Wanted::Critical, Wanted::Maintenance];
    let unknown = |name: &str| InvalidQuery::Filter { filter: name.into(), text: text.into() };
    let status = |name: &str| all.into_iter().find(|wanted| wanted.name() == name).ok_or_else(|| unknown(name));
    let mut statuses = match filter {
        None => vec![Wanted::Passing],
        Some(filter) => filter.split(',').map(str::trim).map(status).collect::<Result<_, _>>()?,
    };
    statuses.sort();
    statuses.dedup();
    if statuses.contains(&Wanted::Any) {
        statuses = vec![Wanted::Any];
    }
    Ok(statuses)
}

fn unnamed<'t>(function: &'static str, text: &'t str, near: bool) -> Result<Parts<'t>, InvalidQuery> {
    let parts = parts(function, text, text, near)?;
    match parts.name {
        "" => Ok(parts),
        _ => Err(InvalidQuery::Format { function, text: text.into() }),
    }
}

fn parts<'t>(function: &'static str, text: &str, head: &'t str, has_near: bool) -> Result<Parts<'t>, InvalidQuery> {
    let invalid = || InvalidQuery::Format { function, text: text.into() };
    let part = |text: &str| if is_of(text, ".-") { Ok(text.to_owned()) } else { Err(invalid()) };
    let (head, near) = match head.rsplit_once('~') {
        Some((head, near)) if has_near => (head, Some(part(near)?)),
        Some(_) => return Err(invalid()),
        None => (head, None),
    };
    let (head, datacenter) = match head.rsplit_once('@') {
        Some((head, datacenter)) => (head, Some(part(datacenter)?)),
        None => (head, None),
    };
    let name = without_spaces(function, text, head)?;
    Ok(Parts { name, datacenter, near })
}

/// What stands before `?ns=…`: of namespaces and their like only the default ones are there.
fn without_spaces<'t>(function: &'static str, text: &str, head: &'t str) -> Result<&'t str, InvalidQuery> {
    let Some((name, query)) = head.split_once('?') else { return Ok(head) };
    let is_default = |pair: &str| matches!(pair, "ns=default" | "partition=default" | "ns=" | "partition=" | "peer=");
    let Some(pair) = query.split('&').find(|pair| !is_default(pair)) else { return Ok(name) };
    let text = text.to_owned();
    Err(match pair.split_once('=') {
        Some(("ns" | "partition" | "peer", _)) => InvalidQuery::Space { function, query: query.into(), text },
        Some((parameter, _)) if is_of(parameter, "-") => InvalidQuery::Parameter { function, parameter: parameter.into(), text },
        _ => InvalidQuery::Format { function, text },
    })
}

/// `[/]path[?query][@dc]`
fn path(function: &'static str, text: &str) -> Result<(String, Option<String>), InvalidQuery> {
    let invalid = || InvalidQuery::Format { function, text: text.into() };
    let (head, datacenter) = match text.rsplit_once('@') {
        Some((head, datacenter)) if is_of(datacenter, ".-") => (head, Some(datacenter.to_owned())),
        Some(_) => return Err(invalid()),
        None => (text, None),
    };
    let path = without_spaces(function, text, head)?;
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.contains(['@', '?']) {
        true => Err(invalid()),
        false => Ok((path.to_owned(), datacenter)),
    }
}

/// At least one character, and only letters, digits, `_` and these.
fn is_of(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || others.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> ServiceQuery {
        match Query::service(text) {
            Ok(Query::Service(query)) => query,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_service_may_come_with_everything() {
        let query = service("prod.blue.web@dc-1~_agent|warning,passing");
        assert_eq!((query.tag.as_deref(), query.name.as_str()), (Some("prod.blue"), "web"));
        assert_eq!((query.datacenter.as_deref(), query.near.as_deref()), (Some("dc-1"), Some("_agent")));
        assert_eq!(query.statuses, [Wanted::Passing, Wanted::Warning]);
    }

    #[test]
    fn alone_it_wants_passing_ones_and_any_beats_all_others() {
        assert_eq!(service("web").statuses, [Wanted::Passing]);
        assert_eq!(service("web|passing,any").statuses, [Wanted::Any]);
        assert_eq!(service("web?ns=default@dc1").name, "web");
    }

    #[test]
    fn what_is_no_question_is_refused_in_consul_templates_words() {
        let error = |text: &str| Query::service(text).unwrap_err().to_string();
        assert_eq!(error("web|x"), "health.service: invalid filter: \"x\" in \"web|x\"");
        for text in ["we b", "web@", "web|", "web~", ".web", "wéb", ""] {
            assert_eq!(error(text), format!("health.service: invalid format: \"{text}\""));
        }
        assert!(error("web?ns=other").contains("another namespace"));
        assert_eq!(error("web?bad=x"), "health.service: unknown parameter \"bad\" in \"web?bad=x\": expected none");
        for text in ["web?", "web?ns", "web?=x", "web?ns=default&"] {
            assert_eq!(error(text), format!("health.service: invalid format: \"{text}\""));
        }
        assert!(Query::nodes("web").is_err() && Query::services("~a").is_err());
    }

    #[test]
    fn paths_lose_one_slash() {
        let key = Query::Key { path: "a/b".into(), datacenter: Some("dc2".into()) };
        assert_eq!(Query::key("/a/b@dc2"), Ok(key));
        assert_eq!(Query::keys(""), Ok(Query::Keys { prefix: String::new(), datacenter: None }));
        assert!(Query::key("a@b@c").is_err());
    }
}
