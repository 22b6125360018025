//! `template`, and the same under the name `consul-template`: files that follow the catalog.
//!
//! ```text
//! flags ─► configuration ─► pid file ─► agent, templates ─► runner ─► exit status
//!              ▲                                              │
//!              └──────────── reload signal ◄── signals ───────┘
//! ```
//! A configuration or a template that is wrong ends the program at its start; found by a reload, it is told, and what ran
//! goes on. Has a command line of its own, in which none of lobbyctl's options is needed.
//! Not here: flags, files and exit statuses (`lobby_render::config`), rendering (`lobby_render::runner`).

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use lobby_render::{
    End, Order, RunError, Runner, UnitError,
    config::{self, Config, Exit, Flags, Partial, flags},
    manifest::{Lists, lists},
    runner::Environment,
    source::{Consul, Files, Folder, Sources},
};
use tokio::sync::mpsc;

use crate::{
    cli::{blame, door::Door},
    template::{
        agent::{self, Agent},
        dry, log,
        pid_file::PidFile,
        signals::{Heard, Signals},
    },
};

/// The version of consul-template whose command line and configuration these are; scripts ask for it.
const LIKE: &str = "0.42.1";

/// Signals for the program that have not reached the runner yet; more are lost, as equal ones are anyway.
const ORDERS: usize = 64;

/// Between two questions for the agent's own id, while nobody answers.
const AGAIN: Duration = Duration::from_secs(1);

/// A reload waits no longer for that: what runs stands still meanwhile.
const RELOAD: Duration = Duration::from_secs(5);

/// What was typed.
struct Start {
    /// The local daemon; an error matters only where it is needed.
    door: Result<Door, clap::Error>,
    configs: Vec<PathBuf>,
    partial: Partial,
}

/// Why it ends.
struct Failure {
    exit: Exit,
    what: String,
}

/// A configuration that can be run.
struct Prepared {
    config: Config,
    agent: Agent,
}

/// A runner, and whom it listens to.
struct Running {
    runner: Runner<Sources<Agent>>,
    orders: mpsc::Sender<Order>,
}

/// How the time of one configuration ended.
enum Over {
    Ended(ExitCode),
    Reloaded(Box<(Prepared, Running)>),
}

/// Runs to its end. The words are those after the program's name or the verb.
pub(crate) fn run(program: &str, door: Result<Door, clap::Error>, words: impl Iterator<Item = OsString>) -> ExitCode {
    log::begin();
    // Paths that are no text are not found later on.
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let start = match Flags::parse(words) {
        Ok(Flags::Help) => return print(&flags::usage(program)),
        Ok(Flags::Version) => return print(&format!("consul-template v{LIKE} (lobbyctl {})\n", env!("CARGO_PKG_VERSION"))),
        Ok(Flags::Run { configs, partial }) => Start { door, configs, partial: *partial },
        Err(err) => return Failure { exit: Exit::Flags, what: log::chain(&err) }.end(program),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return Failure { exit: Exit::Runner, what: err.to_string() }.end(program),
    };
    let status = runtime.block_on(start.run()).unwrap_or_else(|failure| failure.end(program));
    // A function of a template may still wait for a program of its own.
    runtime.shutdown_background();
    status
}

/// On standard output. That nobody reads it is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Ok.into()
}

impl Failure {
    fn config(what: impl Into<String>) -> Self {
        Self { exit: Exit::Config, what: what.into() }
    }

    fn end(self, program: &str) -> ExitCode {
        tracing::error!("{}", self.what);
        if self.exit == Exit::Flags {
            let _ = writeln!(std::io::stderr(), "hint: {program} -h shows all flags");
        }
        self.exit.into()
    }
}

impl From<RunError> for Failure {
    fn from(err: RunError) -> Self {
        Self { exit: Exit::Runner, what: log::chain(&err) }
    }
}

impl Start {
    async fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.configure()?;
        let mut pid_file = pid_file(None, &config)?;
        let mut signals = catch(&config)?;
        let mut prepared = self.prepare(config)?;
        if prepared.config.process.parse_only {
            self.load(&prepared, String::new(), BTreeSet::new())?;
            return Ok(Exit::Ok.into());
        }
        let mut running = tokio::select! {
            node = prepared.node() => self.load(&prepared, node, BTreeSet::new())?,
            () = signals.stop() => return Ok(Exit::Stopped.into()),
        };
        loop {
            match self.attend(running, &mut signals).await? {
                Over::Ended(status) => return Ok(status),
                Over::Reloaded(next) => (prepared, running) = *next,
            }
            pid_file = self::pid_file(pid_file, &prepared.config)?;
            signals = catch(&prepared.config)?;
        }
    }

    /// Reads all that was written.
    fn configure(&self) -> Result<Config, Failure> {
        let variable = |name: &str| env::var(name).ok();
        let whole = config::load(variable("CT_LOCAL_CONFIG").as_deref(), &self.configs, self.partial.clone());
        let config = whole.and_then(|whole| whole.resolve(variable)).map_err(|err| Failure::config(log::chain(&err)))?;
        log::show(config.process.log_level);
        let missing = config::missing(&config.settings, config.keys_dir.as_deref());
        for warning in config.warnings.iter().chain(&missing) {
            tracing::warn!("{warning}");
        }
        for warning in config.idle() {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    fn prepare(&self, config: Config) -> Result<Prepared, Failure> {
        let door = || {
            // One line of what clap says.
            let what = |err: &clap::Error| blame::said(err).lines().next().unwrap_or_default().replace("error: ", "");
            self.door.as_ref().map_err(|err| anyhow::anyhow!(what(err)))
        };
        let agent = Agent::new(&config.consul, door).map_err(|err| Failure::config(format!("{err:#}")))?;
        Ok(Prepared { config, agent })
    }

    /// Tells this configuration from others: its files, and where it runs.
    fn owner(&self) -> String {
        let folder = env::current_dir().unwrap_or_default();
        let paths = self.configs.iter().map(|path| format!(" {}", folder.join(path).display()));
        format!("template {}{}", folder.display(), paths.collect::<String>())
    }

    /// Reads the templates.
    fn load(&self, prepared: &Prepared, node: String, before: BTreeSet<PathBuf>) -> Result<Running, Failure> {
        let Prepared { config, agent } = prepared;
        let (orders, receiver) = mpsc::channel(ORDERS);
        let variables = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = Environment {
            around: agent.surroundings(&config.consul),
            variables: Arc::new(variables.collect::<BTreeMap<_, _>>()),
            node,
            keep_going: false,
            lookups_must_succeed: config.process.err_on_failed_lookup,
            lists: Lists { owner: self.owner(), known: lists(&config.settings.templates), before },
            clock: log::now,
            show: if config.process.diff { dry::show_with_diff } else { dry::show },
        };
        let source = Sources {
            keys: config.keys_dir.clone().map(Folder::new),
            files: Files,
            main: Consul::new(agent.clone(), agent::options(&config.consul, config.process.err_on_failed_lookup)),
        };
        let runner = Runner::new(config.settings.clone(), environment, source, receiver).map_err(|err| match &err {
            // Nothing but the configuration is needed to see that.
            RunError::Template(UnitError::Shared { .. }) => Failure::config(log::chain(&err)),
            _ => err.into(),
        })?;
        Ok(Running { runner, orders })
    }

    /// Everything that a reload needs, with nothing changed yet.
    async fn again(&self, before: BTreeSet<PathBuf>) -> Result<(Prepared, Running), Failure> {
        let prepared = self.prepare(self.configure()?)?;
        let late = |_| Failure::config("the agent does not say which node of the fleet this is");
        let node = tokio::time::timeout(RELOAD, prepared.node()).await.map_err(late)?;
        let running = self.load(&prepared, node, before)?;
        Ok((prepared, running))
    }

    /// Until it ends, or until there is a new configuration.
    async fn attend(&self, running: Running, signals: &mut Signals) -> Result<Over, Failure> {
        let Running { runner, orders } = running;
        let before = runner.lists();
        let mut run = std::pin::pin!(runner.run());
        let next = loop {
            tokio::select! {
                biased;
                end = &mut run => return Ok(Over::Ended(status(&end?))),
                heard = signals.next() => match heard {
                    Heard::Stop => break None,
                    Heard::Reload => match self.again(before.clone()).await {
                        Ok(next) => break Some(next),
                        Err(failure) => tracing::error!("reload: {}; what was there before goes on", failure.what),
                    },
                    // It has plenty of them to take in.
                    Heard::Other(number) => drop(orders.try_send(Order::Signal(number))),
                },
            }
        };
        let told = |end: Result<End, RunError>| drop(end.map_err(|err| tracing::error!("{}", log::chain(&err))));
        // A command that runs belongs to files that are in place: it is let finish, and not run a second time.
        let next = match next {
            Some(next) if orders.try_send(Order::Finish).is_ok() => tokio::select! {
                biased;
                end = &mut run => {
                    told(end);
                    return Ok(Over::Reloaded(Box::new(next)));
                }
                () = signals.stop() => None,
            },
            next => next,
        };
        // Whoever gives no orders any more tells it to stop.
        drop(orders);
        tokio::select! {
            biased;
            end = &mut run => told(end),
            // Somebody cannot wait until the program has ended: it is killed.
            () = signals.stop() => return Ok(Over::Ended(Exit::Stopped.into())),
        }
        Ok(next.map_or(Over::Ended(Exit::Stopped.into()), |next| Over::Reloaded(Box::new(next))))
    }
}

impl Prepared {
    /// The agent's node, if the order of the fleet matters: waits until it answers.
    async fn node(&self) -> String {
        if self.config.settings.stagger.is_none() {
            return String::new();
        }
        let mut is_told = false;
        loop {
            match self.agent.node().await {
                Ok(node) => return node,
                Err(err) if !is_told => {
                    tracing::warn!("stagger needs to know which node of the fleet this is: {}", log::chain(&err))
                }
                Err(_) => {}
            }
            is_told = true;
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn status(end: &End) -> ExitCode {
    match end {
        End::Done => Exit::Ok.into(),
        End::Stopped => Exit::Stopped.into(),
        // A process' status has eight bits.
        End::Program(code) => u8::try_from(*code).unwrap_or(u8::MAX).into(),
    }
}

/// The pid file of this configuration; the one there was is kept if it is the same, else removed.
fn pid_file(old: Option<PidFile>, config: &Config) -> Result<Option<PidFile>, Failure> {
    match &config.process.pid_file {
        None => Ok(None),
        Some(path) if old.as_ref().is_some_and(|old| old.path() == path) => Ok(old),
        Some(path) => {
            let failed =
                |err| Failure { exit: Exit::Runner, what: format!("cannot write the pid file {}: {err}", path.display()) };
            PidFile::write(path).map(Some).map_err(failed)
        }
    }
}

fn catch(config: &Config) -> Result<Signals, Failure> {
    Signals::catch(&config.process).map_err(|(number, err)| Failure::config(format!("cannot wait for signal {number}: {err}")))
}
