//! A proxy without an agent: `lobbyd proxy`, `synapse`, `nerve`. No listener, no exchange, no data folder.
//!
//! Runs until SIGTERM or SIGINT (status 0), reads its files again at SIGHUP. Status 64 for bad files, 1 when a part of it has
//! ended, as Synapse does it: whoever supervises starts it again, and what it kept in step goes on meanwhile.
//! Not here: the command line (`cli::proxy`), the proxy of an agent (`crate::proxy`).

mod agent;

use std::process::ExitCode;

use lobby_proxy::{Proxy, Settings, nerve::WhileHeld};
use lobby_render::{
    command::Surroundings,
    source::{Consul, Options, Retry},
};

use crate::{
    BAD_CONFIGURATION,
    cli::proxy::{Alone, Program},
    config::{
        LogFormat,
        proxy::{self, Proxies},
        raw::{Origin, Raw},
        setting,
    },
    log,
    proxy::{Http, end, environment, give_up, nerve::Nerve},
    signal::{Asked, Signals},
    systemd,
};
use agent::Agent;

/// Everything that the files say.
struct Told {
    proxies: Proxies,
    warnings: Vec<String>,
    agent: Agent,
    raw: Raw,
}

/// Does what the command line says.
pub(crate) fn run(alone: Result<Alone, clap::Error>) -> ExitCode {
    let alone = match alone {
        Ok(alone) => alone,
        Err(err) => {
            // Nothing helps when even the terminal is gone.
            let _ = err.print();
            return if err.use_stderr() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    let name = alone.program.name();
    let bad = |why: String| {
        eprintln!("{name}: {why}");
        ExitCode::from(BAD_CONFIGURATION)
    };
    let told = match read(&alone) {
        Ok(told) => told,
        Err(why) => return bad(why),
    };
    let text = told.raw.value("LOG").0;
    let filter = match log::filter(text) {
        Ok(filter) => filter,
        Err(err) => return bad(format!("LOG = {text:?} is not usable: {err}")),
    };
    if alone.is_check {
        told.warnings.iter().for_each(|warning| eprintln!("{name}: warning: {warning}"));
        crate::say("the configuration is good\n");
        return ExitCode::SUCCESS;
    }
    let is_json = told.raw.value("LOG_FORMAT").0 == "json";
    log::start(filter, if is_json { LogFormat::Json } else { LogFormat::Text });
    lobby::rlimit::take();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            eprintln!("{name}: {err}");
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(attend(&alone, told));
    // Blocking file work may be stuck on a dead disk; the end does not wait for it.
    runtime.shutdown_background();
    status
}

/// The files, and what the environment and the flags add.
fn read(alone: &Alone) -> Result<Told, String> {
    let mut raw = Raw::default();
    if let Some(file) = &alone.files.config {
        let text = std::fs::read_to_string(file).map_err(|err| format!("{}: {err}", file.display()))?;
        raw.read_file(file, &text).map_err(|err| err.to_string())?;
    }
    if alone.is_debug
        && let Some(log) = setting::by_name("LOG")
    {
        raw.set(log, "debug", Origin::Environment("DEBUG".into()));
    }
    raw.read_environment(environment().into_iter());
    alone.read_flags(&mut raw);
    let mut warnings = std::mem::take(&mut raw.warnings);
    warnings.extend(raw.exposed());
    let instance = alone.instance.as_deref();
    let proxies = match (&alone.files.config, &alone.files.synapse) {
        (Some(file), _) => {
            let read = proxy::read(&raw, instance, &mut warnings).map_err(|err| err.to_string())?;
            read.ok_or_else(|| format!("{}: there is no [proxy]", file.display()))?
        }
        (None, synapse) => {
            let read = synapse.as_ref().map(|file| lobby_proxy::synapse::read(file)).transpose();
            let (mut settings, warned) = read.map_err(|err| err.to_string())?.unwrap_or_default();
            warnings.extend(warned);
            settings.nerve = alone.files.nerve.clone();
            Proxies::new(settings, instance, &mut warnings).map_err(|err| err.to_string())?
        }
    };
    let agent = Agent::new(&raw, alone);
    if proxies.settings.asks_agent() || proxies.nerve.as_ref().is_some_and(|nerve| nerve.asks_agent()) {
        agent.check()?;
    }
    Ok(Told { proxies, warnings, agent, raw })
}

/// Until it is to end, or something has ended.
async fn attend(alone: &Alone, mut told: Told) -> ExitCode {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(err) => {
            tracing::error!("listening to signals: {err}");
            return ExitCode::FAILURE;
        }
    };
    tokio::spawn(systemd::keep_alive(|| std::future::ready(true)));
    let mut nerve = Nerve::new(WhileHeld::new(told.agent.clone()));
    loop {
        nerve.set(told.proxies.nerve.clone());
        told.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let around = told.agent.surroundings();
        let mut proxy = begin(&told, around.clone());
        systemd::ready();
        let next = loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => match again(alone, &told) {
                        Some(next) if next.proxies.settings == told.proxies.settings => {
                            nerve.set(next.proxies.nerve.clone());
                            told = next;
                        }
                        Some(next) => break next,
                        None => {}
                    },
                    Asked::Leave | Asked::Restart => {
                        tokio::join!(end(proxy), nerve.stop());
                        return ExitCode::SUCCESS;
                    }
                },
                why = proxy.ended() => {
                    tracing::error!("{why}");
                    end(proxy).await;
                    return ExitCode::FAILURE;
                }
            }
        };
        end(proxy).await;
        give_up(&told.proxies.settings, Some(&next.proxies.settings), &around).await;
        told = next;
    }
}

fn begin(told: &Told, around: Surroundings) -> Proxy {
    let retry = Retry { attempts: 0, ..Retry::default() };
    let source = Consul::new(told.agent.clone(), Options { retry, ..Options::default() });
    let settings: &Settings = &told.proxies.settings;
    tracing::info!(services = settings.services.len(), "a proxy is kept in step");
    // Nobody sees its counters.
    Proxy::start(told.proxies.settings.clone(), Http, source, &environment(), around, None)
}

/// What the files say now, if that is something else.
fn again(alone: &Alone, told: &Told) -> Option<Told> {
    match read(alone) {
        Ok(next) if next.proxies == told.proxies => {
            tracing::info!("the files were read again, and say the same");
            None
        }
        Ok(next) => Some(next),
        Err(why) => {
            let what = if alone.program == Program::Nerve { "the checks go" } else { "the proxy goes" };
            tracing::error!("{why}; {what} on as before");
            None
        }
    }
}
