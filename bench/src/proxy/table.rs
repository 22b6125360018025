//! The table: what clients felt by each way, and how one compares with the other.

use std::fmt;

use lobby_testkit::load::Connections;

use super::Run;
use crate::times::Times;

pub(super) const HEAD: &str = "\
| under 1 000 requests a second | connections | changes | sent | failed: proxy | template | reloads: proxy | template \
| p99 ms: proxy | template | worst ms: proxy | template | last request sent there, ms after (mean, p99, max): proxy | template | last answer: proxy | template | ratio of requests |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

pub(super) struct Row<'a> {
    pub(super) what: &'a str,
    pub(super) connections: Connections,
    pub(super) ours: &'a Run,
    pub(super) peer: Option<&'a Run>,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = if self.connections == Connections::New { "new" } else { "kept" };
        write!(f, "| {} | {connections} | {} | {} |", self.what, self.ours.changes, self.ours.report.n_sent())?;
        let mut pair = |cell: &dyn Fn(&Run) -> String| {
            write!(f, " {} | {} |", cell(self.ours), self.peer.map_or_else(|| "–".to_owned(), cell))
        };
        pair(&failed)?;
        pair(&|run| run.reloads.to_string())?;
        pair(&|run| ms(run, 99))?;
        pair(&|run| ms(run, 100))?;
        pair(&|run| run.gone.as_ref().map_or_else(|| "–".to_owned(), |gone| times(&gone.sent)))?;
        pair(&|run| run.gone.as_ref().map_or_else(|| "–".to_owned(), |gone| times(&gone.answered)))?;
        match self.ours.gone.as_ref().zip(self.peer.and_then(|peer| peer.gone.as_ref())) {
            Some((ours, peer)) => write!(f, " {:.1} |", peer.sent.mean() / ours.sent.mean()),
            None => write!(f, " – |"),
        }
    }
}

/// A kept connection that HAProxy closes instead of an answer, as the server's is gone, is a client's to repeat: told apart.
fn failed(run: &Run) -> String {
    let closed = run.report.closed_idle;
    let closed = if closed > 0 { format!(" (+{closed} closed)") } else { String::new() };
    format!("{}{closed}", run.report.n_failed())
}

fn times(times: &Times) -> String {
    format!("{:.0}, {:.0}, {:.0}", times.mean(), times.quantile(0.99), times.worst())
}

fn ms(run: &Run, percent: usize) -> String {
    format!("{:.0}", run.report.within(percent).as_secs_f64() * 1000.0)
}
