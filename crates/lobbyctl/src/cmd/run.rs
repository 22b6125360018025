//! `run --name NAME … -- COMMAND`: runs a program and keeps it registered for as long as it runs.
//!
//! ```text
//! start ─► ready? ─► register, and again if it is lost ─► told to stop ─► drain ─► deregister ─► pass the signal on ─► its exit status is ours
//! ```
//! The program comes first: without a daemon it runs all the same. Writes nothing to stdout, which is the program's.

use std::{
    io,
    pin::{Pin, pin},
    process::{ExitCode, ExitStatus},
};

use lobby::client::Client;

use crate::{
    cli::service::Run,
    failure::say,
    program::{self, Program, Signal, Signals},
    registrar::Registrar,
};

/// What ends the time in which it is offered.
enum End {
    Ended(io::Result<ExitStatus>),
    Told(Signal),
}

pub(crate) async fn run(client: &Client, run: &Run) -> anyhow::Result<ExitCode> {
    let mut registrar = Registrar::new(client, run)?;
    let mut signals = Signals::catch()?;
    let mut program = match Program::start(&run.command) {
        Ok(program) => program,
        Err(err) => {
            say(format_args!("cannot start {}: {err}", run.command[0]));
            return Ok(Program::not_started(&err).into());
        }
    };
    registrar.bind(program.pid());
    // Goes on until the end: somebody may take the instance away, and it may own the connection that the instance goes with.
    let mut registering = pin!(registrar.register());
    let status = match offered(&mut program, &mut signals, registering.as_mut()).await {
        End::Ended(status) => status,
        End::Told(signal) => match retreating(&mut program, &mut signals, registrar.retreat(run.drain)).await {
            Some(status) => status,
            None => {
                // If the retreat was cut short.
                registrar.deregister().await;
                program.send(signal);
                ending(&mut program, &mut signals).await
            }
        },
    };
    registrar.deregister().await;
    Ok(program::status(status?))
}

/// Until it ends or is told to.
async fn offered(program: &mut Program, signals: &mut Signals, mut registering: Pin<&mut impl Future<Output = ()>>) -> End {
    let mut is_done = false;
    loop {
        tokio::select! {
            biased;
            status = program.ended() => return End::Ended(status),
            signal = signals.next() => match program::ends(signal) {
                true => return End::Told(signal),
                false => program.send(signal),
            },
            () = &mut registering, if !is_done => is_done = true,
        }
    }
}

/// Until it is taken out, or somebody cannot wait for that and tells it to end once more. Its status if it ends meanwhile.
async fn retreating(
    program: &mut Program,
    signals: &mut Signals,
    retreat: impl Future<Output = ()>,
) -> Option<io::Result<ExitStatus>> {
    let mut retreat = pin!(retreat);
    loop {
        tokio::select! {
            biased;
            status = program.ended() => return Some(status),
            signal = signals.next() => match program::ends(signal) {
                true => return None,
                false => program.send(signal),
            },
            () = &mut retreat => return None,
        }
    }
}

/// Until it has ended.
async fn ending(program: &mut Program, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            biased;
            status = program.ended() => return status,
            signal = signals.next() => program.send(signal),
        }
    }
}
