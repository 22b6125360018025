//! `watch`: prints what is there, then each change of the list as it happens, until it is stopped.
//!
//! A daemon that goes away after the first answer is waited for; changes it missed are printed when it is back.
//! Not here: the instances of one service (`service`).

use lobby::client::{Change, Client, ClientError};

use crate::output::{Cell, Output, Tone, plain};

pub(crate) mod service;

pub(crate) async fn run(client: &Client, out: Output) -> anyhow::Result<()> {
    let mut watch = client.watch();
    let (mut answered, mut lost) = (false, false);
    loop {
        match watch.next().await {
            Ok(changes) => {
                (answered, lost) = (true, false);
                changes.iter().try_for_each(|change| out.line(change, text))?;
            }
            Err(ClientError::NotReachable { url, .. }) if answered => {
                if !std::mem::replace(&mut lost, true) {
                    eprintln!("lobbyctl: {url} does not answer any more; waiting for it");
                }
            }
            Err(err) => return Err(err.into()),
        }
    }
}

fn text(change: &Change) -> Vec<Cell> {
    match change {
        Change::Added { hostname, labels } => {
            vec![Cell(Tone::Good, format!("+ {hostname}")), plain(labels.join("  "))]
        }
        Change::Removed { hostname } => vec![Cell(Tone::Bad, format!("- {hostname}"))],
        Change::Relabelled { hostname, added, removed } => {
            let added = added.iter().map(|label| format!("+{label}"));
            let labels: Vec<_> = added.chain(removed.iter().map(|label| format!("-{label}"))).collect();
            vec![Cell(Tone::Doubtful, format!("~ {hostname}")), plain(labels.join("  "))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line() {
        let change = Change::Relabelled { hostname: "a".into(), added: vec!["x".into()], removed: vec!["y".into()] };
        let texts: Vec<_> = text(&change).into_iter().map(|Cell(_, text)| text).collect();
        assert_eq!(texts, ["~ a", "+x  -y"]);
    }
}
