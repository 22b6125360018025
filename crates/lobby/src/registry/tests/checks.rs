//! Checks at work: reports that do not come, runs, thresholds, and instances that are given up.

use tokio::net::TcpListener;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_report_that_does_not_come_is_seen_within_20_ms() {
    let lobby = agent().await;
    register_ttl(&lobby, "web-1", 10).await;
    for _ in 0..3 {
        tokio::time::sleep(7 * SECOND).await;
        beat(&lobby, "web-1-ttl", Status::Passing).await.unwrap();
    }
    let took = until(&lobby, |snapshot| shown(snapshot) == [("web-1".to_owned(), Status::Critical)]).await;
    assert!((10 * SECOND..=10 * SECOND + Duration::from_millis(20)).contains(&took), "{took:?}");
    assert!(local(&lobby, "web-1-ttl").output.contains("TTL expired"));
    let told = lobby.reader().snapshot().local.record.check(&id("web-1-ttl")).unwrap();
    assert!(told.output.contains("TTL expired"), "{}", told.output);
}

#[tokio::test(start_paused = true)]
async fn an_instance_goes_when_its_check_is_critical_for_too_long_and_stays_away() {
    let lobby = agent().await;
    let dying = Draft { deregister_after: 60 * SECOND, ..ttl(10) };
    let checks = vec![check("d", None, dying.clone()), check("other", None, ttl(1000))];
    register(&lobby, registration("web-1", checks)).await.unwrap();
    set_check(&lobby, check("node", None, dying)).await.unwrap();
    beat(&lobby, "d", Status::Passing).await.unwrap();
    let took = until(&lobby, |snapshot| shown(snapshot).is_empty()).await;
    assert!((70 * SECOND..=71 * SECOND).contains(&took), "{took:?}");
    assert_eq!(lobby.registry().view().checks.keys().map(ToString::to_string).collect::<Vec<_>>(), ["node"]);
    assert_eq!(lobby.registry_stats().taken_away, 1);
    assert_eq!(beat(&lobby, "d", Status::Passing).await, Err(RegistryError::UnknownCheck("d".into())));
}

#[tokio::test]
async fn what_changes_too_often_is_held_and_says_so_everywhere() {
    let mut listener = Some(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.as_ref().unwrap().local_addr().unwrap();
    let kinds = vec![Kind::Tcp { address: address.to_string(), tls: None }];
    let tcp = Draft { kinds, interval: Duration::from_millis(20), timeout: SECOND, ..Draft::default() };
    let lobby = agent().await;
    register(&lobby, registration("web-1", vec![check("tcp", None, tcp)])).await.unwrap();
    let by_itself = |lobby: &Lobby| local(lobby, "tcp").own_status;
    let mut views = lobby.registry().watch();
    for _ in 0..4 {
        views.wait_for(|view| view.checks[&id("tcp")].own_status == Status::Passing).await.unwrap();
        drop(listener.take());
        views.wait_for(|view| view.checks[&id("tcp")].own_status == Status::Critical).await.unwrap();
        listener = Some(TcpListener::bind(address).await.unwrap());
    }
    views.wait_for(|view| view.checks[&id("tcp")].own_status == Status::Passing).await.unwrap();
    assert_eq!(by_itself(&lobby), Status::Passing);
    assert!(local(&lobby, "tcp").is_flapping);
    assert_eq!(status(&lobby, "web-1"), Some(Status::Critical));
    let told = lobby.reader().snapshot().local.record.check(&id("tcp")).unwrap();
    for output in [&*local(&lobby, "tcp").output, &*told.output] {
        assert!(output.starts_with("flapping: held at critical, "), "{output}");
    }
    drop(listener);
}

#[tokio::test]
async fn a_run_decides_by_its_thresholds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tcp = Draft {
        kinds: vec![Kind::Tcp { address, tls: None }],
        interval: Duration::from_millis(20),
        timeout: SECOND,
        success_before_passing: 3,
        failures_before_critical: 2,
        failures_before_warning: 1,
        ..Draft::default()
    };
    let lobby = agent().await;
    let mut reader = lobby.reader();
    register(&lobby, registration("web-1", vec![check("tcp", None, tcp)])).await.unwrap();
    assert_eq!(status(&lobby, "web-1"), Some(Status::Critical));
    until(&lobby, |snapshot| shown(snapshot) == [("web-1".to_owned(), Status::Passing)]).await;
    assert!(lobby.registry_stats().runs >= 3);
    drop(listener);
    let mut seen = Vec::new();
    while seen.last() != Some(&Status::Critical) || seen.len() < 4 {
        let now = shown(&reader.changed().await.unwrap()).first().map(|(_, status)| *status);
        seen.extend(now.filter(|now| seen.last() != Some(now)));
        if seen.ends_with(&[Status::Passing, Status::Warning, Status::Critical]) {
            break;
        }
    }
    assert!(local(&lobby, "tcp").output.contains("refused"), "{}", local(&lobby, "tcp").output);
}

#[tokio::test]
async fn a_check_that_is_taken_away_runs_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = |address: String| Draft {
        kinds: vec![Kind::Tcp { address, tls: None }],
        interval: Duration::from_millis(10),
        ..Draft::default()
    };
    let lobby = agent().await;
    let old = tcp(listener.local_addr().unwrap().to_string());
    register(&lobby, registration("web-1", vec![check("tcp", None, old)])).await.unwrap();
    until(&lobby, |snapshot| shown(snapshot) == [("web-1".to_owned(), Status::Passing)]).await;
    // Another target, at which nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    set_check(&lobby, check("tcp", Some("web-1"), tcp(gone))).await.unwrap();
    assert_eq!(status(&lobby, "web-1"), Some(Status::Passing), "until its first run it stays as it was");
    until(&lobby, |snapshot| shown(snapshot) == [("web-1".to_owned(), Status::Critical)]).await;
    deregister(&lobby, "web-1").await.unwrap();
    let runs = lobby.registry_stats().runs;
    lobby_testkit::holds_async(Duration::from_millis(200), || {
        let now = lobby.registry_stats().runs;
        std::future::ready(if now == runs { Ok(()) } else { Err(now) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_output_alone_is_told_to_others_each_five_seconds_at_most() {
    let lobby = agent().await;
    register_ttl(&lobby, "web-1", 1000).await;
    let note = async |note: &str| {
        let (check, status, note) = (id("web-1-ttl"), Status::Passing, note.to_owned());
        lobby.registry().ask(|answer| RegistryCommand::Beat { check, status, note, answer }).await.unwrap();
    };
    let told = || lobby.reader().snapshot().local.record.check(&id("web-1-ttl")).unwrap().output;
    note("one").await;
    note(&"two\n".repeat(400)).await;
    assert_eq!((&*told(), local(&lobby, "web-1-ttl").output.len()), ("one", 1600));
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(told().len(), lobby_core::limits::OUTPUT_BYTES);
}
