//! Fleets of lobbyd or Serf agents on hosts of their own: how each kind is started, told and read.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lobby_testkit::{
    bridge::{Bridge, Host},
    process::{Process, find},
};

use crate::{
    host::{now, sleep_until},
    times::Times,
};

/// Both fleets are sealed with the same one.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const STARTED: Duration = Duration::from_secs(30);

/// Which program.
#[derive(Debug)]
pub(crate) enum Kind {
    Lobby { program: PathBuf },
    Serf,
}

/// One agent and what it has written, each line with the time at which it was read.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) process: Process,
    /// Whether it runs and is to hear what happens.
    pub(crate) is_up: bool,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
}

/// All agents of one kind; agent `i` is on host `first + i`, and joins agent 0.
pub(crate) struct Fleet {
    pub(crate) kind: Kind,
    pub(crate) first: usize,
    pub(crate) agents: Vec<Agent>,
    folder: PathBuf,
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lobby { .. } => "lobbyd",
            Self::Serf => "serf",
        }
    }

    pub(crate) fn tells_join(&self, line: &str, name: &str) -> bool {
        match self {
            Self::Lobby { .. } => tells(line, name, &["alive"]),
            Self::Serf => line.contains(&format!("EventMemberJoin: {name} ")),
        }
    }

    pub(crate) fn tells_leave(&self, line: &str, name: &str) -> bool {
        match self {
            Self::Lobby { .. } => tells(line, name, &["left"]),
            Self::Serf => line.contains(&format!("EventMemberLeave: {name} ")),
        }
    }

    pub(crate) fn tells_death(&self, line: &str, name: &str) -> bool {
        match self {
            Self::Lobby { .. } => tells(line, name, &["unattended", "failed"]),
            Self::Serf => line.contains(&format!("EventMemberFailed: {name} ")),
        }
    }

    fn command(&self, host: &Host, first: &Host, name: &str, folder: &Path) -> Command {
        // Both outputs in one pipe: Serf logs to its standard output, lobbyd to its standard error.
        let mut command = host.command(&find("sh"));
        command.args(["-c", "exec \"$@\" 2>&1", "sh"]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        match self {
            Self::Lobby { program } => {
                let below = |what: &str| folder.join(format!("{name}.{what}"));
                command.arg(program).env("HOSTNAME", name).env("SOCKET", below("sock")).env("DATA_DIR", below("data"));
                command.env("LABELS_PATH", below("labels")).env("LABELS", "role:web").env("DNS_ADDR", "off");
                command.env("GOSSIP_ADDR", format!("{}:1314", host.ip)).env("GOSSIP_KEY", KEY);
                command.env("GOSSIP_JOIN", first.ip.to_string());
            }
            Self::Serf => {
                command.arg(find("serf")).arg("agent").arg(format!("-node={name}")).arg(format!("-bind={}:7946", host.ip));
                command.args(["-rpc-addr=127.0.0.1:7373", "-tag", "role=web", "-encrypt", KEY]);
                if host.ip != first.ip {
                    command.arg("-join").arg(first.ip.to_string());
                }
            }
        }
        command
    }

    fn is_ready(&self, line: &str) -> bool {
        match self {
            Self::Lobby { .. } => line.contains("\"ready\":true"),
            Self::Serf => line.contains("Serf agent running"),
        }
    }
}

/// Whether lobbyd says that the node of this name is in one of these states now.
fn tells(line: &str, name: &str, states: &[&str]) -> bool {
    line.contains(&format!("name={name} ")) && states.iter().any(|state| line.ends_with(&format!("state={state}")))
}

impl Agent {
    fn start(kind: &Kind, host: &Host, first: &Host, name: &str, folder: &Path) -> Self {
        let (process, receiver) = Process::start_with_lines(name, kind.command(host, first, name, folder));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        // Ends when the process has closed its output.
        std::thread::spawn(move || {
            for line in receiver {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push((now(), line));
            }
        });
        Self { name: name.into(), process, is_up: true, lines }
    }

    /// When the first line since `start` was read of which `what` is true.
    fn first(&self, start: Instant, what: impl Fn(&str) -> bool) -> Option<Instant> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|(at, line)| *at >= start && what(line)).map(|(at, _)| *at)
    }

    fn wait_for(&self, what: impl Fn(&str) -> bool) {
        let start = now();
        while !self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(_, line)| what(line)) {
            assert!(start.elapsed() < STARTED, "{} is not ready:\n{}", self.name, self.process.log());
            sleep_until(now() + Duration::from_millis(10));
        }
    }
}

impl Fleet {
    /// Starts `n` agents and waits until each knows all others.
    pub(crate) fn start(kind: Kind, bridge: &Bridge, first: usize, n: usize, folder: &Path) -> Self {
        let hosts = &bridge.hosts()[first..first + n];
        let letter = &kind.name()[..1];
        let mut agents = Vec::new();
        for (idx, host) in hosts.iter().enumerate() {
            let agent = Agent::start(&kind, host, &hosts[0], &format!("{letter}{idx:02}"), folder);
            agent.wait_for(|line| kind.is_ready(line));
            agents.push(agent);
        }
        for agent in &agents {
            for other in agents.iter().filter(|other| other.name != agent.name) {
                agent.wait_for(|line| kind.tells_join(line, &other.name));
            }
        }
        Self { kind, first, agents, folder: folder.to_owned() }
    }

    /// Starts an agent anew that was ended.
    pub(crate) fn start_again(&mut self, idx: usize, bridge: &Bridge) {
        let hosts = &bridge.hosts()[self.first..];
        self.agents[idx].process.kill();
        let name = self.agents[idx].name.clone();
        self.agents[idx] = Agent::start(&self.kind, &hosts[idx], &hosts[0], &name, &self.folder);
        self.agents[idx].wait_for(|line| self.kind.is_ready(line));
    }

    /// The agent that an act is about: it hears nothing until it is started again.
    pub(crate) fn victim(&mut self, idx: usize) -> &Agent {
        self.agents[idx].is_up = false;
        &self.agents[idx]
    }

    /// Fires a user event at one agent, by the program that people use.
    pub(crate) fn fire(&self, idx: usize, event: &str) {
        let pid = self.agents[idx].process.pid().to_string();
        let mut command = Command::new(find("nsenter"));
        command.args(["-t", &pid, "-n"]);
        match &self.kind {
            Kind::Lobby { program } => command.arg(program.with_file_name("lobbyctl")).args(["event", event, "payload"]),
            Kind::Serf => command.arg(find("serf")).args(["event", "-coalesce=false", event, "payload"]),
        };
        let output = command.output().expect("nsenter can be started");
        assert!(output.status.success(), "no event: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// How long each agent that is up took, since `start`, to write a line of which `what` is true.
    pub(crate) fn heard(&self, start: Instant, what: impl Fn(&str) -> bool, most: Duration) -> Times {
        let observers = || self.agents.iter().filter(|agent| agent.is_up);
        loop {
            let known: Vec<_> = observers().filter_map(|agent| agent.first(start, &what)).collect();
            let n_observers = observers().count();
            if known.len() == n_observers || start.elapsed() > most {
                let missed = n_observers - known.len();
                return Times::new(known.into_iter().map(|at| at - start).collect(), missed);
            }
            sleep_until(now() + Duration::from_millis(5));
        }
    }
}
