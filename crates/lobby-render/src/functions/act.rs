//! Functions that do something: run a template, run a program, write a file. Decides when they may: a trial run writes nothing.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lobby_template::format::quote;
use lobby_template::{CallError, Func, Type, Value};

use super::arg::{Given, any, bytes, text};
use super::owner::{gid, uid};
use super::{Named, Pass, Programs};
use crate::command::{Surroundings, environment};
use crate::settings::Env;

/// How long a program may run, as in consul-template.
const MAX_RUN: Duration = Duration::from_secs(30);

/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Most bytes that are read from a program: more than a value in a file is.
const MAX_OUTPUT: u64 = 16 << 20;

pub(super) fn funcs(pass: &Arc<Pass>) -> Vec<Named> {
    let (run, write) = (pass.clone(), pass.clone());
    vec![
        (
            "executeTemplate",
            Func::scoped([Type::Str], Some(Type::Any), |scope, args| {
                if args.len() > 2 {
                    let got = args.len();
                    return Err(CallError(format!("executeTemplate: wrong number of arguments, expected 1 or 2, but got {got}")));
                }
                Ok(Value::Str(scope.execute(&text(args, 0)?, any(args, 1))?))
            }),
        ),
        ("plugin", Func::variadic([Type::Str], Type::Str, move |args| plugin(args, MAX_RUN, &run.around, &run.programs))),
        (
            "writeToFile",
            Func::variadic([Type::Str, Type::Str, Type::Str, Type::Str], Type::Str, move |args| match write.may_act {
                true => write_to_file(args),
                false => Err("writeToFile: a trial run writes no files".into()),
            }),
        ),
    ]
}

/// What a program prints, without blanks around it, if it takes no longer than `most`.
fn plugin(args: &[Value], most: Duration, around: &Surroundings, programs: &Programs) -> Given {
    let name = text(args, 0)?;
    if name.is_empty() {
        return Ok("".into());
    }
    let failed = |why: String, out: &[u8], err: &[u8]| {
        let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        CallError(format!("exec {}: {why}\n\nstdout:\n\n{out}\n\nstderr:\n\n{err}", quote(name.as_bytes())))
    };
    let mut command = Command::new(&*name);
    for index in 1..args.len() {
        let arg = text(args, index)?;
        if !arg.trim().is_empty() {
            command.arg(arg.trim());
        }
    }
    command.env_clear().envs(environment(&Env::default(), around, std::env::vars_os()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = programs.start(&mut command).map_err(|err| failed(err.to_string(), &[], &[]))?;
    if let Some(started) = around.started {
        started(child.id());
    }
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let ended_in_time = ended(|| programs.ended(&mut child), &out, &err, most);
    let Some((status, out, err)) = ended_in_time else {
        programs.kill(&mut child);
        return Err(CallError(format!("exec {}: did not finish in {}s", quote(name.as_bytes()), most.as_secs())));
    };
    // First: a program that is not read any more fails for that.
    if out.len() as u64 > MAX_OUTPUT {
        return Err(failed(format!("printed more than {MAX_OUTPUT} bytes"), &[], &[]));
    }
    if !status.success() {
        return Err(failed(status.to_string().replace("exit status: ", "exit status "), &out, &err));
    }
    Ok(Value::Str(out.trim_ascii().into()))
}

/// What can be read until its end, on a thread of its own that ends with the program.
fn read(from: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(from) = from {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What could be read before an error is shown.
            let _ = from.take(MAX_OUTPUT + 1).read_to_end(&mut bytes);
            // Nobody waits any more if it took too long.
            let _ = sender.send(bytes);
        });
    }
    receiver
}

/// How the program ended, and what it printed; None: it has not, in time.
fn ended(
    mut status: impl FnMut() -> Option<ExitStatus>,
    out: &Receiver<Vec<u8>>,
    err: &Receiver<Vec<u8>>,
    most: Duration,
) -> Option<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (mut printed, mut complained) = (None, None);
    // Nobody sends on it: it only waits.
    let (_open, pause) = channel::<()>();
    let mut left = most;
    while !left.is_zero() {
        printed = printed.or_else(|| out.try_recv().ok());
        complained = complained.or_else(|| err.try_recv().ok());
        if printed.is_some()
            && complained.is_some()
            && let Some(status) = status()
        {
            return Some((status, printed?, complained?));
        }
        let _ = pause.recv_timeout(LOOK);
        left = left.saturating_sub(LOOK);
    }
    None
}

/// `writeToFile path user group permissions [flags] content`; prints nothing.
fn write_to_file(args: &[Value]) -> Given {
    let (flags, content) = match args.len() {
        5 => (text(args, 0).map(|_| "".into())?, bytes(args, 4)?),
        6 => (text(args, 4)?, bytes(args, 5)?),
        got => return Err(CallError(format!("writeToFile: wrong number of arguments, expected 5 or 6, but got {got}"))),
    };
    let (path, user, group, mode) = (text(args, 0)?, text(args, 1)?, text(args, 2)?, text(args, 3)?);
    let mode = u32::from_str_radix(&mode, 8)
        .ok()
        .filter(|_| !mode.starts_with('+'))
        .ok_or_else(|| CallError(format!("strconv.ParseUint: parsing {}: invalid syntax", quote(mode.as_bytes()))))?;
    // Before anything is written.
    let owner = ((!user.is_empty()).then(|| uid(&user)).transpose()?, (!group.is_empty()).then(|| gid(&group)).transpose()?);
    let path = Path::new(&*path);
    let appends = flags.contains("append");
    let write = || {
        if let Some(folder) = path.parent().filter(|folder| !appends && !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(appends).write(true).truncate(!appends).open(path)?;
        file.write_all(content)?;
        if flags.contains("newline") {
            file.write_all(b"\n")?;
        }
        own(path, owner, mode)
    };
    write().map_err(|err: std::io::Error| CallError(format!("open {}: {err}", path.display())))?;
    Ok("".into())
}

/// Gives the file to its owner, and takes it from all others.
#[cfg(unix)]
fn own(path: &Path, (user, group): (Option<u32>, Option<u32>), mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn own(_path: &Path, _owner: (Option<u32>, Option<u32>), _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::programs::EndWith;
    use super::*;

    #[track_caller]
    fn refused(script: &str, most: Duration) -> String {
        let args = ["sh", "-c", script].map(Value::from);
        plugin(&args, most, &Surroundings::default(), &Programs::default()).unwrap_err().0
    }

    #[test]
    fn a_program_sees_what_commands_see() {
        let set = vec![("LOBBY_TEST_GIVEN".into(), "given".into())];
        let around = Surroundings { set, unset: vec!["PATH".into()], started: None };
        let args = ["/bin/sh", "-c", "echo $LOBBY_TEST_GIVEN; export -p | grep -c 'PATH=.*cargo'"].map(Value::from);
        let said = plugin(&args, MAX_RUN, &around, &Programs::default()).unwrap_err().0;
        assert!(said.contains("given\n0\n"), "{said}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        assert_eq!(refused("exec sleep 60", LOOK * 4), "exec \"sh\": did not finish in 0s");
        assert_eq!(refused("exec sleep 60 >/dev/null 2>&1", LOOK * 4), "exec \"sh\": did not finish in 0s");
    }

    #[test]
    fn a_program_ends_with_who_gives_the_evaluation_up_and_so_do_its_children() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let programs = Arc::<Programs>::default();
        let end = EndWith(programs.clone());
        let ran = std::thread::spawn({
            let programs = programs.clone();
            move || plugin(&["sh", "-c", &script].map(Value::from), MAX_RUN, &Surroundings::default(), &programs)
        });
        let id = lobby_testkit::eventually(MAX_RUN, || std::fs::read_to_string(&file).map_err(|err| err.to_string()));
        drop(end);
        let said = ran.join().unwrap().unwrap_err().0;
        assert!(said.contains("signal: 9"), "{said}");
        lobby_testkit::eventually(MAX_RUN, || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
            lobby_testkit::expect(stat.is_empty() || stat.contains(") Z "), stat)
        });
        let said = plugin(&["true".into()], MAX_RUN, &Surroundings::default(), &programs).unwrap_err().0;
        assert!(said.contains("given up"), "{said}");
    }

    #[test]
    fn a_program_that_prints_without_end_is_not_read() {
        let said = refused("exec yes", MAX_RUN);
        assert!(said.contains("printed more than 16777216 bytes"), "{said}");
    }
}
