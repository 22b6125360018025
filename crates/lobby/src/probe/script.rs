//! A command: its exit code is the result, and what it writes to stdout and stderr, in that order, the output.
//!
//! It runs in a process group of its own, gets nothing on stdin and none of our secrets, and is killed with its group
//! at the deadline or when the run is dropped. After an end in time, what it left in its group goes on, as with hooks.
//! Not here: whether scripts are allowed at all (the configuration).

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use lobby_core::check::Status;
use tokio::{io::AsyncReadExt, net::unix::pipe, process::Child};

use super::{GRACE, Verdict, tail::Tail};
use crate::group::{DRAIN, Group, command};

pub(super) async fn run(args: &[String], timeout: Duration, keep: usize) -> Verdict {
    match carry_out(args, timeout, keep).await {
        Ok((ended, said)) => verdict(ended, &said),
        Err(why) => Verdict::critical(why),
    }
}

/// Runs a command to its end: how it ended and what it said. The error is for people; the command does not run then.
pub(super) async fn carry_out(args: &[String], timeout: Duration, keep: usize) -> Result<(ExitStatus, Tail), String> {
    let Some((program, arguments)) = args.split_first() else { return Err("no program given".to_owned()) };
    let (mut child, output) = start(program, arguments).map_err(|err| format!("cannot start {program}: {err}"))?;
    // Dropped before the child, which keeps its process id until then.
    let group = Group::of(&child);
    crate::rlimit::restore_for(group.leader());
    let mut said = Tail::new(keep);
    match tokio::time::timeout(timeout, follow(&mut child, output, &mut said)).await {
        Ok(Ok(ended)) => {
            group.release();
            Ok((ended, said))
        }
        Ok(Err(err)) => Err(format!("lost track of the command: {err}")),
        Err(_) => {
            drop(group);
            // Takes the process id back where that is possible now; otherwise tokio does later.
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
            Err(format!("killed: it took longer than {timeout:?}\n{}", said.told()))
        }
    }
}

/// Both outputs share one pipe, so that their lines keep their order.
fn start(program: &str, arguments: &[String]) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = command(program, arguments);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let output = pipe::Receiver::from_owned_fd(reader.into())?;
    // The writing ends that are ours go with the command: when the child's are closed, the output ends.
    Ok((command.spawn()?, output))
}

/// Takes what the command says until it ends, and for a moment more: a process that it left behind may hold the pipe.
async fn follow(child: &mut Child, mut output: pipe::Receiver, said: &mut Tail) -> io::Result<ExitStatus> {
    let mut read = std::pin::pin!(async move {
        let mut buffer = vec![0; 8 * 1024];
        // An error ends the reading; what was read before it counts.
        while let Ok(n_bytes @ 1..) = output.read(&mut buffer).await {
            said.push(&buffer[..n_bytes]);
        }
    });
    let ended = tokio::select! {
        ended = child.wait() => ended?,
        // It closed its output, and may go on.
        () = &mut read => return child.wait().await,
    };
    let _ = tokio::time::timeout(DRAIN, read).await;
    Ok(ended)
}

fn verdict(ended: ExitStatus, said: &Tail) -> Verdict {
    let status = match ended.code() {
        Some(0) => Status::Passing,
        Some(1) => Status::Warning,
        _ => Status::Critical,
    };
    if said.total() == 0 && status != Status::Passing {
        return Verdict::new(status, format!("{ended}, without output"));
    }
    Verdict { status, tail: said.text(), total: said.total() }
}

#[cfg(test)]
mod tests;
