//! `service NAME`: the instances of a service, those of failed nodes too, and what is wrong with them.

use std::time::Duration;

use lobby::client::{Check, Client, Instance};

use crate::{
    output::{Cell, Output, heading, plain},
    show,
};

pub(crate) async fn run(client: &Client, name: &str, selector: Option<&str>, out: Output) -> anyhow::Result<()> {
    let instances = client.service(name, selector).await?.value;
    out.value(&instances, |instances| table(instances))
}

fn table(instances: &[Instance]) -> Vec<Vec<Cell>> {
    let head = heading(&["ID", "NODE", "STATUS", "ADDRESS", "HEARD", "CHECKS", "TAGS"]);
    std::iter::once(head).chain(instances.iter().map(row)).collect()
}

fn row(instance: &Instance) -> Vec<Cell> {
    let heard = instance.age_ms.map(|age| show::ago(Duration::from_millis(age)));
    let node = if instance.node_failed { format!("{} (failed)", instance.node) } else { instance.node.clone() };
    vec![
        plain(&instance.id),
        plain(node),
        show::status(instance),
        plain(show::endpoint(instance)),
        plain(show::or_dash(heard.unwrap_or_default())),
        plain(checks(&instance.checks)),
        plain(instance.tags.join("  ")),
    ]
}

/// How many pass, and the ids of the others.
fn checks(checks: &[Check]) -> String {
    let others: Vec<_> = checks.iter().filter(|check| check.status != "passing").map(|check| check.id.as_str()).collect();
    match (checks.len(), others.is_empty()) {
        (0, _) => "-".into(),
        (n, true) => format!("{n} of {n}"),
        (n, false) => format!("{} of {n}, not {}", n - others.len(), others.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_do_not_pass_are_named() {
        let check = |id: &str, status: &str| Check { id: id.into(), status: status.into(), ..Check::default() };
        assert_eq!(checks(&[]), "-");
        assert_eq!(checks(&[check("a", "passing")]), "1 of 1");
        let some = [check("a", "passing"), check("b", "critical"), check("c", "warning")];
        assert_eq!(checks(&some), "1 of 3, not b c");
    }
}
