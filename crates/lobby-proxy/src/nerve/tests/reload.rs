//! Reloads: what stays, what goes, and that what is well is told at every moment.

use super::*;

/// Looks at every step of the paused clock whether it is there, until the future is over.
async fn always_there(catalog: &Catalog, id: &str, what: impl Future<Output = ()>) {
    let mut what = std::pin::pin!(what);
    loop {
        assert!(catalog.ids().iter().any(|there| there == id), "{id} is gone: {:?}", catalog.times());
        tokio::select! {
            biased;
            () = &mut what => break,
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
}

fn labelled(service: Service, value: &str) -> Service {
    let labels = Some([("v".to_owned(), value.to_owned())].into());
    Service { payload: Payload { labels, ..service.payload }, ..service }
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_goes_on_and_what_is_gone_is_taken_back() {
    let (web, db) = (service("web", vec![check("/ok", 1, 1)]), service("db", vec![]));
    let it = It::start(vec![web.clone(), db]);
    pass(700).await;
    it.settings.send_replace(Arc::new(settings(vec![web, service("new", vec![])])));
    pass(50).await;
    assert_eq!(it.catalog.ids(), ["new_i", "web_i"]);
    let of_web = it.catalog.seen.lock().unwrap().told.iter().filter(|(_, told)| *told == Told::Up("web_i".into())).count();
    assert_eq!(of_web, 1);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_told_at_every_moment() {
    let web = service("web", vec![check("/ok", 1, 1)]);
    let it = It::start(vec![web.clone()]);
    pass(10).await;
    for n in 0..20 {
        let changed = Service { check_interval: Duration::from_millis(100 + n), ..labelled(web.clone(), &n.to_string()) };
        it.settings.send_replace(Arc::new(settings(vec![changed])));
        always_there(&it.catalog, "web_i", pass(n * 7)).await;
    }
    always_there(&it.catalog, "web_i", pass(40_000)).await;
    let told = it.catalog.seen.lock().unwrap().there["web_i"].labels.clone().unwrap();
    assert_eq!(told["v"], "19");
    let pings = it.catalog.pings.load(Ordering::Relaxed);
    pass(1190).await;
    // One task, every 119 ms.
    assert_eq!(it.catalog.pings.load(Ordering::Relaxed) - pings, 10);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_is_ill_takes_it_out_only_when_it_knows() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    pass(10).await;
    it.web.set("/bad", false);
    let slow = Check {
        kind: CheckKind::Http(Http { uri: "/hangs".into(), timeout: Duration::from_secs(3), ..Http::default() }),
        ..check("/hangs", 1, 1)
    };
    it.settings.send_replace(Arc::new(settings(vec![service("web", vec![slow])])));
    always_there(&it.catalog, "web_i", pass(2_900)).await;
    pass(200).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_without_a_report_is_waited_for_half_a_minute() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    pass(10).await;
    // No token for its first report, for ever; the old one goes on meanwhile, and tells what it finds.
    let throttled = Rate { average: 1e-5, burst: 0.5, is_shadow: false };
    it.settings.send_replace(Arc::new(settings(vec![Service { rate: throttled, ..service("web", vec![check("/ok", 1, 1)]) }])));
    always_there(&it.catalog, "web_i", pass(29_000)).await;
    it.web.set("/ok", false);
    pass(500).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0], "the old one still looks");
    it.web.set("/ok", true);
    pass(500).await;
    assert_eq!(it.catalog.ids(), ["web_i"]);
    pass(1_000).await;
    it.web.set("/ok", false);
    always_there(&it.catalog, "web_i", pass(5_000)).await;
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_id_is_told_before_the_old_one_goes() {
    let web = service("web", vec![check("/ok", 1, 1)]);
    let it = It::start(vec![web.clone()]);
    pass(10).await;
    let other = Service { payload: Payload { id: "web_j".into(), ..web.payload.clone() }, ..web.clone() };
    it.settings.send_replace(Arc::new(settings(vec![other.clone()])));
    pass(100).await;
    assert_eq!(it.catalog.ids(), ["web_j"]);
    let told: Vec<_> = it.catalog.seen.lock().unwrap().told.iter().map(|(_, told)| told.clone()).collect();
    assert_eq!(told, [Told::Up("web_i".into()), Told::Up("web_j".into()), Told::Down("web_i".into())]);
    // And nowhere any more.
    it.settings.send_replace(Arc::new(settings(vec![Service { reporter: Reporter::Noop, ..other }])));
    pass(100).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_while_it_is_replaced_is_gone() {
    let web = service("web", vec![check("/ok", 1, 1)]);
    let it = It::start(vec![web.clone()]);
    pass(10).await;
    it.settings.send_replace(Arc::new(settings(vec![service("web", vec![check("/hangs", 1, 1)])])));
    pass(50).await;
    it.settings.send_replace(Arc::new(settings(vec![])));
    pass(20_000).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_has_begun_does_not_outlive_its_service() {
    let catalog = Catalog { delay: Duration::from_millis(300), ..Catalog::new() };
    let it = It::start_with(settings(vec![service("web", vec![])]), catalog, Web::default());
    pass(50).await;
    let slow = Http { uri: "/hangs".into(), timeout: Duration::from_secs(3), ..Http::default() };
    let slow = Check { kind: CheckKind::Http(slow), ..check("/hangs", 1, 1) };
    it.settings.send_replace(Arc::new(settings(vec![service("web", vec![slow])])));
    pass(50).await;
    it.settings.send_replace(Arc::new(settings(vec![])));
    pass(5_000).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_task_that_goes_is_taken_back_too() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    pass(10).await;
    // It is told something that then changes while nothing arrives, so it gives up.
    it.catalog.is_broken.store(true, Ordering::Relaxed);
    it.web.set("/ok", false);
    pass(4_970).await;
    it.catalog.is_broken.store(false, Ordering::Relaxed);
    it.settings.send_replace(Arc::new(settings(vec![])));
    pass(50).await;
    assert_eq!(it.catalog.ids(), [] as [&str; 0]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn settings_without_a_source_hold_on() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    let It { catalog, settings, stop, task, .. } = it;
    drop(settings);
    pass(60_000).await;
    assert_eq!(catalog.ids(), ["web_i"]);
    stop.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(catalog.ids(), [] as [&str; 0]);
}
