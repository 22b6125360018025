//! `members`: members as gossip sees them, with state, round trip, version and age.

use std::time::Duration;

use lobby::client::{Client, Member};

use crate::{
    cli::gossip::Members,
    output::{Cell, Output, heading, plain},
    show,
};

pub(crate) async fn run(client: &Client, only: &Members, out: Output) -> anyhow::Result<()> {
    let mut members = client.members().await?.value;
    members.retain(|member| takes(only, member));
    out.value(&members, |members| table(members))
}

fn takes(only: &Members, member: &Member) -> bool {
    let state = only.state.is_empty() || only.state.contains(&member.state);
    state && only.label.iter().all(|wanted| member.labels.iter().any(|label| is_below(label, wanted)))
}

/// Whether a label is this one, or begins with it up to a colon: the rule of events and queries.
fn is_below(label: &str, wanted: &str) -> bool {
    label.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(':') || wanted.ends_with(':'))
}

fn table(members: &[Member]) -> Vec<Vec<Cell>> {
    let head = heading(&["NAME", "STATE", "RTT", "HEARD", "VERSION", "ADDRESS", "ID", "LABELS"]);
    std::iter::once(head).chain(members.iter().map(row)).collect()
}

fn row(member: &Member) -> Vec<Cell> {
    let mut name = show::or_dash(member.name.as_deref().unwrap_or_default());
    if member.own {
        name.push_str(" (this)");
    }
    let heard = member.age_ms.map(|age| show::ago(Duration::from_millis(age)));
    vec![
        plain(name),
        show::state(&member.state),
        plain(rtt(member)),
        plain(show::or_dash(heard.unwrap_or_default())),
        plain(show::or_dash(member.lobbyd.as_deref().unwrap_or_default())),
        plain(&member.address),
        plain(show::short(&member.id)),
        plain(member.labels.join("  ")),
    ]
}

/// Measured, or else estimated, which a wave tells.
fn rtt(member: &Member) -> String {
    match (member.rtt_ms, member.distance_ms) {
        (Some(measured), _) => show::millis(measured),
        (None, Some(estimated)) => format!("~{}", show::millis(estimated)),
        (None, None) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_itself_and_by_its_beginning_up_to_a_colon() {
        for (label, wanted, want) in [
            ("rack:7", "rack:7", true),
            ("rack:7", "rack", true),
            ("rack:7", "rack:", true),
            ("rack:77", "rack:7", false),
            ("racks:7", "rack", false),
            ("rack", "rack:7", false),
        ] {
            assert_eq!(is_below(label, wanted), want, "{label} {wanted}");
        }
    }
}
