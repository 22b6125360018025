//! Who knew when, and who was wronged: read off the log.

use super::*;

/// Times of several runs; a run in which too few knew counts as for ever.
#[derive(Default)]
pub(crate) struct Times(pub(crate) Vec<Duration>);

pub(crate) const NEVER: Duration = Duration::from_secs(1_000_000);

impl Times {
    pub(crate) fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / self.0.len().max(1) as u32
    }

    pub(crate) fn worst(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} mean {} worst ms", self.mean().as_millis(), self.worst().as_millis())
    }
}

/// When `part` of `n` observers knew.
pub(crate) fn quantile(times: &[Duration], part: f64, n: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(((n as f64 * part).ceil() as usize).max(1) - 1).copied().unwrap_or(NEVER)
}

/// When each running observer first noted something, counted from `start`.
pub(crate) fn first(sim: &Sim, start: Moment, what: impl Fn(&Note) -> bool) -> Vec<Duration> {
    let mut times: Vec<Option<Duration>> = vec![None; sim.nodes.len()];
    for (at, observer, note) in &sim.log {
        if *at >= start && what(note) && sim.nodes[*observer].engine.is_some() {
            times[*observer].get_or_insert(at.since(start));
        }
    }
    times.into_iter().flatten().collect()
}

/// Nodes that run and about which somebody has given a verdict.
pub(crate) fn victims(sim: &Sim) -> Vec<usize> {
    let wronged = |(_, _, note): &(_, usize, Note)| match note {
        Note::Gone(idx) | Note::Unattended(idx) if sim.nodes[*idx].engine.is_some() => Some(*idx),
        _ => None,
    };
    let mut victims: Vec<_> = sim.log.iter().filter_map(wronged).collect();
    victims.sort();
    victims.dedup();
    victims
}
