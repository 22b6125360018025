//! A unit of systemd, as `systemctl show` tells of it: active is passing, stopped or failed is critical.
//!
//! What cannot be told is a warning, as in Consul: no systemd, no such unit, no answer in time. The program is asked
//! instead of D-Bus, which would take a library; it runs like a script, killed with its group at the deadline.
//! Not here: how a command is run (`script`).

use std::{path::Path, time::Duration};

use lobby_core::check::Status;

use super::{Verdict, script};

/// Where it is, the first that is there. It is not searched for on PATH: its word decides about services.
const PROGRAMS: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

/// Most bytes of its answer, which has two short lines.
const ANSWER_BYTES: usize = 1024;

pub(super) async fn run(unit: &str, timeout: Duration) -> Verdict {
    let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists()).unwrap_or(PROGRAMS[0]);
    ask(program, unit, timeout).await
}

async fn ask(program: &str, unit: &str, timeout: Duration) -> Verdict {
    let what = format!("unit {unit}");
    let undeterminable = |why: &str| Verdict::new(Status::Warning, format!("{what}: undeterminable: {}", why.trim()));
    let args = [program, "show", "--property=LoadState", "--property=ActiveState", "--", unit].map(str::to_owned);
    let (ended, said) = match script::carry_out(&args, timeout, ANSWER_BYTES).await {
        Ok((ended, said)) => (ended, said.text()),
        Err(why) => return undeterminable(&why),
    };
    if !ended.success() {
        return undeterminable(&format!("{program}: {ended}: {said}"));
    }
    // A pattern instead of a name has as many answers as it has units.
    let value = |name: &str| {
        let mut values = said.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().filter(|_| values.next().is_none())
    };
    let (Some(load), Some(active)) = (value("LoadState"), value("ActiveState")) else {
        return undeterminable(&format!("{program} does not tell the state of one unit: {said}"));
    };
    let status = match (load, active) {
        ("not-found", _) => return undeterminable("systemd knows no unit of this name"),
        (_, "active" | "reloading" | "refreshing") => Status::Passing,
        (_, "inactive" | "failed" | "deactivating") => Status::Critical,
        // It is on its way up, and may not get there.
        (_, "activating") => Status::Warning,
        _ => return undeterminable(&format!("its state is {active}")),
    };
    Verdict::new(status, format!("{what}: {active}"))
}

#[cfg(test)]
mod tests;
