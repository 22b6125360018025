//! Instances that live as long as a process does.

use std::process::{Child, Command, Stdio};

use super::*;

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn bound(name: &str, pid: u32) -> Registration {
    let draft = Draft { kinds: vec![Kind::Process { pid }], ..Draft::default() };
    registration(name, vec![check(&format!("{name}-process"), None, draft)])
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether this system can watch processes; where it cannot, that is what a registration is told.
async fn can_watch(lobby: &Lobby, name: &str, child: &Child) -> bool {
    match register(lobby, bound(name, child.id())).await {
        Ok(()) => true,
        Err(RegistryError::Process { pid, why }) => {
            assert!(pid == child.id() && !why.is_empty() && lobby.registry().view().instances.is_empty());
            false
        }
        Err(err) => panic!("{err}"),
    }
}

#[tokio::test]
async fn an_instance_goes_with_its_process_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = stored(&folder).await;
    let (first, second, third) = (sleeper(), sleeper(), sleeper());
    if !can_watch(&lobby, "web-1", &first).await {
        return [first, second, third].into_iter().for_each(end);
    }
    register(&lobby, bound("web-2", second.id())).await.unwrap();
    register(&lobby, bound("web-3", third.id())).await.unwrap();
    assert_eq!(status(&lobby, "web-1"), Some(Status::Passing));
    end(first);
    until(&lobby, |snapshot| shown(snapshot).len() == 2).await;
    assert_eq!((status(&lobby, "web-1"), lobby.registry_stats().taken_away), (None, 1));
    // Registered again for another process, the end of the former one means nothing.
    let fourth = sleeper();
    register(&lobby, bound("web-2", fourth.id())).await.unwrap();
    end(second);
    kill(lobby).await;
    end(third);
    let lobby = stored(&folder).await;
    assert_eq!(shown(&lobby.reader().snapshot()), [("web-2".to_owned(), Status::Passing)]);
    end(fourth);
    until(&lobby, |snapshot| shown(snapshot).is_empty()).await;
    let err = register(&lobby, bound("web-4", 0x7fff_ffff)).await.unwrap_err();
    assert!(matches!(err, RegistryError::Process { pid: 0x7fff_ffff, .. }), "{err}");
}
