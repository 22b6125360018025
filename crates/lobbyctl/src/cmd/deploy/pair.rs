//! The two ports of a service between which proxies swap, as the daemon's own proxy has them. Decides whether a port is one of
//! them: a label that names any other changes nothing anywhere.
//!
//! A daemon without a proxy cannot tell; that is said, and no refusal: the swap is meant for the proxies of others.

use std::{collections::BTreeSet, fmt};

use lobby::client::{Client, ClientError, Instance, Node};
use serde::Deserialize;
use serde_json::Value;

/// What is known of the swap.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The port is one of these, between which the service swaps.
    Pair(Vec<u16>),
    /// The daemon cannot tell, and why.
    Unknown(String),
    Refused(Refusal),
}

/// A service in `/v1/proxy`, as far as a swap looks at it.
#[derive(Debug, Deserialize)]
struct Service {
    name: String,
    port_override: Option<u16>,
    backup_port: Option<u16>,
}

/// Why nothing would be swapped.
#[derive(Debug)]
pub(super) enum Refusal {
    NoService { node: String, service: String, has: Vec<String> },
    NoBackup { node: String, service: String },
    Outside { node: String, service: String, port: u16, pair: Vec<u16> },
}

impl Refusal {
    /// What can be done about it.
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::NoService { .. } => {
                "SERVICE is the NAME of [proxy.service.NAME]; --force, if only proxies of other machines have it"
            }
            Self::NoBackup { .. } => {
                "set `backup_port` in its [proxy.service.NAME], then `lobbyctl reload`; \
                 --force, if only proxies of other machines have it"
            }
            Self::Outside { .. } => {
                "the pair is `port_override`, or the port of the registration, and `backup_port` of its [proxy.service.NAME]; \
                 --force, if the proxies of other machines have another one"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService { node, service, has } if has.is_empty() => {
                write!(f, "the proxy of {node} has no service {service}, and none that swaps")
            }
            Self::NoService { node, service, has } => {
                write!(f, "the proxy of {node} has no service {service}, of those that swap: {}", has.join(", "))
            }
            Self::NoBackup { node, service } => {
                write!(f, "the proxy of {node} has no backup_port for {service}: it does not swap")
            }
            Self::Outside { node, service, port, pair } => {
                let pair = pair.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ");
                write!(f, "the proxy of {node} swaps {service} between {pair}, not to {port}")
            }
        }
    }
}

/// Asks the daemon. `here`: the service's instances on the daemon's own node.
pub(super) async fn ask(client: &Client, own: &Node, here: &[Instance], service: &str, port: u16) -> anyhow::Result<Verdict> {
    let status = match client.proxy().await {
        Ok(answer) => answer.value,
        Err(ClientError::Refused { status: 404, .. }) => return Ok(Verdict::Unknown(format!("{} has no proxy", own.name))),
        Err(err) => return Err(err.into()),
    };
    let services = status.get("services").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if services.iter().any(|service| service.get("backup_port").is_none()) {
        return Ok(Verdict::Unknown(format!("the daemon of {} is older and does not tell", own.name)));
    }
    let services: Vec<Service> = services.iter().filter_map(|service| Service::deserialize(service).ok()).collect();
    let registered = here.iter().map(|instance| instance.port).collect();
    Ok(judge(&services, &own.name, registered, service, port))
}

fn judge(services: &[Service], node: &str, registered: BTreeSet<u16>, service: &str, port: u16) -> Verdict {
    let (node, name) = (node.to_owned(), service.to_owned());
    let Some(found) = services.iter().find(|found| found.name == service) else {
        let has = services.iter().filter(|found| found.backup_port.is_some()).map(|found| found.name.clone()).collect();
        return Verdict::Refused(Refusal::NoService { node, service: name, has });
    };
    let Some(backup) = found.backup_port else {
        return Verdict::Refused(Refusal::NoBackup { node, service: name });
    };
    let mut pair: Vec<u16> = found.port_override.map_or(registered, |port| [port].into()).into_iter().collect();
    pair.retain(|port| *port != backup);
    pair.push(backup);
    if pair.contains(&port) {
        Verdict::Pair(pair)
    } else {
        Verdict::Refused(Refusal::Outside { node, service: name, port, pair })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_of_the_pair_or_refused() {
        let service = |name: &str, port_override, backup_port| Service { name: name.into(), port_override, backup_port };
        let services = [
            service("web", None, Some(50002)),
            service("set", Some(50001), Some(50002)),
            service("one", Some(50001), None),
            service("same", Some(50002), Some(50002)),
        ];
        for (name, registered, port, want) in [
            ("web", &[50001, 50003][..], 50001, "50001 50003 50002"),
            ("web", &[50001, 50003], 50003, "50001 50003 50002"),
            ("web", &[50001], 50002, "50001 50002"),
            ("web", &[], 50002, "50002"),
            ("web", &[50001], 50003, "the proxy of a swaps web between 50001 and 50002, not to 50003; nothing was changed"),
            ("set", &[7], 50001, "50001 50002"),
            ("set", &[7], 7, "the proxy of a swaps set between 50001 and 50002, not to 7; nothing was changed"),
            ("one", &[], 50001, "the proxy of a has no backup_port for one: it does not swap; nothing was changed"),
            ("same", &[], 1, "the proxy of a swaps same between 50002, not to 1; nothing was changed"),
            ("no", &[], 1, "the proxy of a has no service no, of those that swap: web, set, same; nothing was changed"),
        ] {
            let said = match judge(&services, "a", registered.iter().copied().collect(), name, port) {
                Verdict::Pair(pair) => pair.iter().map(u16::to_string).collect::<Vec<_>>().join(" "),
                Verdict::Refused(refusal) => format!("{refusal}; nothing was changed"),
                Verdict::Unknown(why) => why,
            };
            assert_eq!(said, want, "{name} {port}");
        }
    }
}
