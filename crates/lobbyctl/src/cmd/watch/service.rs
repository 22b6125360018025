//! `watch --service NAME`: prints each change of the instances of a service, or runs a command for it.
//!
//! A daemon that goes away after the first answer is waited for, as in `watch`.

use std::collections::BTreeMap;

use lobby::client::{Client, ClientError, Instance, ServiceWatch};
use serde::Serialize;

use crate::{
    cli::service::Watch,
    failure::say,
    handler::Handler,
    output::{Cell, Output, Tone, plain},
    show,
};

/// What became of one instance.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
enum Change<'a> {
    Added { instance: &'a Instance },
    Removed { instance: &'a Instance },
    Changed { instance: &'a Instance },
}

/// A watch that waits for a daemon that went away.
struct Patient {
    watch: ServiceWatch,
    answered: bool,
    lost: bool,
}

pub(crate) async fn run(client: &Client, service: &str, args: &Watch, out: Output) -> anyhow::Result<()> {
    let watch = client.service_changes(service, args.selector().as_deref());
    let mut watch = Patient { watch, answered: false, lost: false };
    if !args.command.is_empty() {
        let handler = Handler { service, command: &args.command, cooldown: args.cooldown };
        return handler.run(async || watch.next().await).await;
    }
    let mut known = Vec::new();
    loop {
        let instances = watch.next().await?;
        changes(&known, &instances).iter().try_for_each(|change| out.line(change, text))?;
        known = instances;
    }
}

impl Patient {
    /// The next state. Dropping the future loses nothing.
    async fn next(&mut self) -> anyhow::Result<Vec<Instance>> {
        loop {
            match self.watch.next().await {
                Ok(instances) => {
                    (self.answered, self.lost) = (true, false);
                    return Ok(instances);
                }
                Err(err) if self.answered && err.is_temporary() => {
                    if !std::mem::replace(&mut self.lost, true) {
                        match &err {
                            ClientError::NotReachable { url, .. } => {
                                say(format_args!("{url} does not answer any more; waiting for it"));
                            }
                            err => say(format_args!("{err}; asking again")),
                        }
                    }
                }
                Err(err) => return Err(err.into()),
            }
        }
    }
}

fn changes<'a>(known: &'a [Instance], now: &'a [Instance]) -> Vec<Change<'a>> {
    let key = |instance: &'a Instance| (&instance.node, &instance.node_id, &instance.id);
    let mut gone: BTreeMap<_, _> = known.iter().map(|instance| (key(instance), instance)).collect();
    let mut changes = Vec::new();
    for instance in now {
        match gone.remove(&key(instance)) {
            None => changes.push(Change::Added { instance }),
            Some(old) if old != instance => changes.push(Change::Changed { instance }),
            Some(_) => {}
        }
    }
    changes.extend(gone.into_values().map(|instance| Change::Removed { instance }));
    changes
}

fn text(change: &Change<'_>) -> Vec<Cell> {
    let (tone, mark, instance) = match change {
        Change::Added { instance } => (Tone::Good, '+', instance),
        Change::Removed { instance } => (Tone::Bad, '-', instance),
        Change::Changed { instance } => (Tone::Doubtful, '~', instance),
    };
    let mut cells = vec![Cell(tone, format!("{mark} {}", instance.id)), plain(&instance.node)];
    if !matches!(change, Change::Removed { .. }) {
        cells.extend([show::status(instance), plain(show::endpoint(instance))]);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_states_is_what_changed() {
        let instance = |node: &str, id: &str, status: &str| Instance {
            id: id.into(),
            node: node.into(),
            status: status.into(),
            ..Instance::default()
        };
        let old = [instance("a", "web", "passing"), instance("b", "web", "passing"), instance("b", "web-2", "passing")];
        let new = [instance("a", "web", "passing"), instance("b", "web", "critical"), instance("c", "web", "passing")];
        let want =
            [Change::Changed { instance: &new[1] }, Change::Added { instance: &new[2] }, Change::Removed { instance: &old[2] }];
        assert_eq!(changes(&old, &new), want);
        let texts: Vec<_> = text(&want[0]).into_iter().map(|Cell(_, text)| text).collect();
        assert_eq!(texts, ["~ web", "b", "critical", "-"]);
    }
}
