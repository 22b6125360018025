//! `keys`: which node has which keys of the gossip, and changing them on all nodes.
//!
//! A change that did not reach everybody is a failure that names the others, since the next step of a rotation would be
//! refused. Keys are shown as fingerprints only.

use std::collections::BTreeSet;

use lobby::client::{Client, KeyOutcome, Keys};

use crate::{
    cli::gossip,
    failure::hinted,
    input,
    output::{Cell, Output, Tone, heading, plain},
    show,
};

pub(crate) async fn run(client: &Client, verb: &gossip::Keys, out: Output) -> anyhow::Result<()> {
    let outcome = match verb {
        gossip::Keys::List => {
            let keys = client.keys().await?.value;
            return out.value(&keys, table);
        }
        gossip::Keys::Install { key } => client.install_key(&input::key(key)?).await?,
        gossip::Keys::Use { key } => client.use_key(&input::key(key)?).await?,
        gossip::Keys::Remove { key } => client.remove_key(&input::key(key)?).await?,
    };
    let verb = match verb {
        gossip::Keys::Install { .. } => "installed",
        gossip::Keys::Use { .. } => "in use",
        _ => "removed",
    };
    let done = outcome.done.len();
    out.value(&outcome, |_| vec![vec![plain(format!("{verb} on {}", show::count(done, "node", "nodes")))]])?;
    missed(&outcome)
}

/// Nobody, or a failure that names them.
fn missed(outcome: &KeyOutcome) -> anyhow::Result<()> {
    let refused = outcome
        .refused
        .iter()
        .map(|refusal| format!("{}: {}", show::node(refusal.node.name.as_deref(), &refusal.node.id), refusal.why));
    let silent = outcome.silent.iter().map(|node| format!("{}: no answer", show::node(node.name.as_deref(), &node.id)));
    let missed: Vec<_> = refused.chain(silent).collect();
    if missed.is_empty() {
        return Ok(());
    }
    let all = missed.len() + outcome.done.len();
    let what = format!("{} of {} did not do it: {}", missed.len(), show::count(all, "node", "nodes"), missed.join("; "));
    Err(hinted(what, "a silent node is told again by itself; `lobbyctl keys list` shows when everybody has it"))
}

/// One key a line: how many nodes have it and seal with it, and who does not have it.
fn table(keys: &Keys) -> Vec<Vec<Cell>> {
    if keys.keys.is_empty() {
        return vec![vec![plain("no keys: nothing is sealed")]];
    }
    let n_nodes = keys.nodes.len();
    let mut rows = vec![heading(&["KEY", "NODES", "SEAL WITH IT", "MISSING ON"])];
    for count in &keys.keys {
        let without = keys.nodes.iter().filter(|node| !node.keys.contains(&count.key));
        let missing: BTreeSet<_> = without.map(|node| show::node(node.name.as_deref(), &node.id)).collect();
        let tone = if missing.is_empty() { Tone::Good } else { Tone::Doubtful };
        let of_all = |n: usize| format!("{n} of {n_nodes}");
        let missing: Vec<_> = missing.into_iter().collect();
        rows.push(vec![
            plain(&count.key),
            Cell(tone, of_all(count.nodes)),
            plain(of_all(count.primary)),
            Cell(Tone::Doubtful, show::or_dash(missing.join(" "))),
        ]);
    }
    rows
}
