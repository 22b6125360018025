//! How long it takes until every other agent knows that one is dead, in fleets of 2 and 12 agents on hosts of their own.
//!
//! | how it dies | what can prove it |
//! |---|---|
//! | `kill -9` | the kernel closes its streams and refuses new ones: *unattended* |
//! | `kill -9` behind a firewall that REJECTs the gossip port | the same: a reset tells as much as a refusal, once it does not answer either |
//! | `kill -9`, and another program listens on its TCP port at once | nothing, for connections are accepted: silence |
//! | its cable is pulled | silence |
//!
//! Each round takes another agent. The time is counted from before the act until the others' logs say *unattended* or
//! *failed*; the goals are those of the design: 200 ms (99 %) for a proof, 4.5 s (mean) for silence. Needs root.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use lobby_testkit::{TempDir, bridge::Bridge, process::Process};

use crate::{
    fleet::{Fleet, Kind},
    host::{lobbyd, now, sleep_until},
    times::Times,
};

const GOSSIP: u16 = 1314;

/// How long everybody may take to know.
const MOST: Duration = Duration::from_secs(40);

/// Between the end of one round and the next.
const CALM: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
enum How {
    Killed,
    Rejected,
    Replaced,
    Unplugged,
}

impl How {
    const ALL: [Self; 4] = [Self::Killed, Self::Rejected, Self::Replaced, Self::Unplugged];

    fn title(self) -> &'static str {
        match self {
            Self::Killed => "`kill -9`",
            Self::Rejected => "`kill -9` behind a firewall that REJECTs",
            Self::Replaced => "`kill -9`, its TCP port taken by another program",
            Self::Unplugged => "its cable pulled",
        }
    }

    /// The goal: at most so many milliseconds at 99 %, or in the mean.
    fn is_reached(self, times: &Times) -> bool {
        match self {
            Self::Killed | Self::Rejected => times.quantile(0.99) <= 200.0,
            Self::Replaced | Self::Unplugged => times.mean() <= 4500.0,
        }
    }
}

pub(crate) fn run(rounds: u32) {
    println!("| agents | how it dies | observations | mean ms | p99 | worst |");
    println!("|---|---|---|---|---|---|");
    let mut missed = Vec::new();
    for n in [2, 12] {
        let (folder, bridge) = (TempDir::new().expect("a temporary folder"), Bridge::new(n));
        let mut fleet = Fleet::start(Kind::Lobby { program: lobbyd().into() }, &bridge, 0, n, folder.path());
        // The watch streams are opened half a second after the membership has settled.
        sleep_until(now() + CALM);
        for how in How::ALL {
            let mut times = Times::default();
            for round in 0..rounds.max(1) as usize {
                times.extend(die(&mut fleet, &bridge, how, 1 + round % (n - 1)));
                sleep_until(now() + CALM);
            }
            println!("| {n} | {} | {} | {} |", how.title(), times.n(), times.cells());
            if times.missed > 0 || !how.is_reached(&times) {
                missed.push((n, how));
            }
        }
    }
    assert!(missed.is_empty(), "goals missed: {missed:?}");
}

/// Ends one agent, waits until the others know, and starts it again.
fn die(fleet: &mut Fleet, bridge: &Bridge, how: How, victim: usize) -> Times {
    let host = &bridge.hosts()[victim];
    if matches!(how, How::Rejected) {
        host.reject(GOSSIP, false);
        // Its streams are reset, and it is asked whether it lives: that is over by then.
        sleep_until(now() + CALM);
    }
    let (start, mut other) = (now(), None);
    let name = fleet.victim(victim).name.clone();
    match how {
        How::Killed | How::Rejected => fleet.agents[victim].process.kill(),
        How::Replaced => {
            let mut command = host.command(&std::env::current_exe().expect("this program has a path"));
            command.args(["listen", &GOSSIP.to_string()]);
            other = Some(Process::start("listener", command));
            fleet.agents[victim].process.kill();
        }
        How::Unplugged => bridge.unplug(victim),
    }
    let heard = fleet.heard(start, |line| fleet.kind.tells_death(line, &name), MOST);
    drop(other);
    fleet.agents[victim].process.kill();
    match how {
        How::Rejected => host.accept(),
        How::Unplugged => bridge.plug(victim),
        How::Killed | How::Replaced => {}
    }
    fleet.start_again(victim, bridge);
    heard
}

/// The other program: takes the port as soon as it is free, and every connection that comes.
pub(crate) fn listen(port: u16) {
    let listener = loop {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            break listener;
        }
        std::thread::yield_now();
    };
    let mut kept = Vec::new();
    // Ends when it is killed.
    for stream in listener.incoming().take(1000) {
        kept.push(stream);
    }
}
