//! The agents and brokers of an endurance run: each agent on a host of its own, asked over its unix socket, because files
//! are shared between hosts and addresses are not.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lobby_testkit::{
    bridge::Host,
    eventually, expect,
    http::Response,
    netns,
    process::{Process, Signal, find},
};

use super::ELDERS;

const NATS: u16 = 4222;
const REDIS: u16 = 6379;

/// Sealed, as a fleet in a real network is.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long an agent may take to its ready line.
const READY: Duration = Duration::from_secs(30);

/// How long it may take to end when it is asked to.
const END: Duration = Duration::from_secs(10);

/// Agents whose addresses each agent is given.
const SEEDS: usize = 3;

/// One agent.
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) socket: PathBuf,
    pub(super) process: Process,
    /// Whether it runs and answers.
    pub(super) is_up: bool,
    /// Whether it is told nothing new, because it is about to be killed.
    pub(super) is_spared: bool,
    pub(super) restarts: usize,
    /// Never restarted.
    pub(super) is_elder: bool,
    command: Spec,
    /// Lines of errors of its earlier processes.
    errors: Vec<String>,
}

/// What makes its command, each time it is started.
struct Spec {
    /// `ip netns exec NAME lobbyd …`, as words.
    words: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Spec {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().envs(self.env.iter().map(|(name, value)| (*name, value)));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

/// The file that the template of the first agent keeps.
pub(super) fn rendered(folder: &Path) -> PathBuf {
    folder.join("rendered")
}

impl Agent {
    /// Starts agent `idx` on the host of that number; the last host is that of the brokers.
    pub(super) fn start(program: &str, hosts: &[Host], idx: usize, folder: &Path) -> Self {
        let (name, broker) = (format!("n{idx:02}"), hosts[hosts.len() - 1].ip);
        let below = |what: &str| folder.join(format!("{name}.{what}")).display().to_string();
        let seeds: Vec<_> = hosts[..SEEDS].iter().map(|host| host.ip.to_string()).collect();
        let env = vec![
            ("HOSTNAME", name.clone()),
            ("SOCKET", below("sock")),
            ("DATA_DIR", below("data")),
            ("LABELS_PATH", below("labels")),
            ("SERVICES_PATH", below("services.d")),
            ("DRIVER", "gossip,nats,redis".into()),
            ("NATS_URL", format!("nats://{broker}:{NATS}")),
            ("REDIS_HOST", broker.to_string()),
            ("GOSSIP_ADDR", format!("{}:1314", hosts[idx].ip)),
            ("GOSSIP_JOIN", seeds.join(",")),
            ("GOSSIP_KEY", KEY.into()),
            ("EXCHANGE_KEY", KEY.into()),
            ("DNS_ADDR", "off".into()),
            ("LOG", "warn".into()),
        ];
        let command = hosts[idx].command(program.as_ref());
        let mut words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        if idx == 0 {
            let text = format!(
                "[[template]]\ncontents = '''{{{{range service \"{}\"}}}}{{{{.ID}}}}\n{{{{end}}}}'''\ndestination = \"{}\"\n",
                super::truth::service(0),
                rendered(folder).display()
            );
            fs::write(below("toml"), text).expect("a temporary folder can be written");
            words.extend(["--config".into(), below("toml")]);
        }
        let (command, socket) = (Spec { words, env }, below("sock").into());
        let process = begin(&name, &command);
        Self {
            name,
            socket,
            process,
            is_up: true,
            is_spared: false,
            restarts: 0,
            is_elder: idx < ELDERS,
            command,
            errors: Vec::new(),
        }
    }

    /// A request over its socket.
    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> Result<Response, String> {
        ask(&self.socket, method, path, body).map_err(|err| format!("{} {method} {path}: {err}", self.name))
    }

    /// From now on nobody may ask it.
    pub(super) fn kill(&mut self) {
        self.is_up = false;
        self.process.kill();
    }

    /// As [`Self::kill`], by a signal that it obeys.
    pub(super) fn end(&mut self, signal: Signal) {
        self.is_up = false;
        self.process.signal(signal);
        self.process.wait(END);
    }

    pub(super) fn start_again(&mut self) {
        self.process.kill();
        self.errors = self.errors();
        self.process = begin(&self.name, &self.command);
        self.is_up = true;
        self.restarts += 1;
    }

    /// Every line of an error that it has written since its first start, of each process the last ones.
    pub(super) fn errors(&self) -> Vec<String> {
        let log = self.process.log();
        let lines = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked"));
        self.errors.iter().cloned().chain(lines.map(|line| format!("{}: {line}", self.name))).collect()
    }
}

fn begin(name: &str, command: &Spec) -> Process {
    let (mut process, lines) = Process::start_with_lines(name, command.command());
    let line = lines.recv_timeout(READY).unwrap_or_default();
    if !line.contains("\"ready\":true") {
        process.kill();
        panic!("{name} is not ready: {line}\n{}", process.log());
    }
    process
}

/// A request over a unix socket.
pub(super) fn ask(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<Response> {
    netns::request(socket, method, path, body)
}

/// The brokers, on one host.
pub(super) struct Brokers {
    nats: Process,
    redis: Process,
    nats_words: Vec<String>,
    redis_words: Vec<String>,
    probe: Vec<String>,
    address: Ipv4Addr,
}

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broker {
    Nats,
    Redis,
}

impl Brokers {
    pub(super) fn start(host: &Host) -> Self {
        let address = host.ip;
        let words = |program: &str, args: &[String]| {
            let mut command = host.command(&find(program));
            command.args(args);
            std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let at = address.to_string();
        let nats_words: Vec<String> = words("nats-server", &text(&["-a", &at, "-p", &NATS.to_string()]));
        let redis_args =
            ["--bind", &at, "--port", &REDIS.to_string(), "--save", "", "--appendonly", "no", "--protected-mode", "no"];
        let redis_words: Vec<String> = words("redis-server", &text(&redis_args));
        let probe = words("bash", &text(&["-c"]));
        let (nats, redis) = (run("nats-server", &nats_words), run("redis-server", &redis_words));
        let brokers = Self { nats, redis, nats_words, redis_words, probe, address };
        brokers.wait(NATS);
        brokers.wait(REDIS);
        brokers
    }

    pub(super) fn kill(&mut self, which: Broker) {
        match which {
            Broker::Nats => self.nats.kill(),
            Broker::Redis => self.redis.kill(),
        }
    }

    /// Starts it again, killed or not, and waits until it listens.
    pub(super) fn restart(&mut self, which: Broker) {
        self.kill(which);
        match which {
            Broker::Nats => self.nats = run("nats-server", &self.nats_words),
            Broker::Redis => self.redis = run("redis-server", &self.redis_words),
        }
        self.wait(if which == Broker::Nats { NATS } else { REDIS });
    }

    /// Waits until the port is open, as seen from its own host.
    fn wait(&self, port: u16) {
        eventually(READY, || {
            let mut command = Command::new(&self.probe[0]);
            command.args(&self.probe[1..]).arg(format!("exec 3<>/dev/tcp/{}/{port}", self.address));
            let is_open = command.output().is_ok_and(|output| output.status.success());
            expect(is_open, format!("nothing listens at port {port}\n{}{}", self.nats.log(), self.redis.log()))
        });
    }
}

fn run(name: &str, words: &[String]) -> Process {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Process::start(name, command)
}
