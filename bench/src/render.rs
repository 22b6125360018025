//! The runner of templates in this process: 50 templates over 1 000 services of 10 instances, whose answers come from memory.
//! One service changes at a time; each change must reach its files, and only those that it concerns.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lobby_render::answer::{CatalogService, HealthService};
use lobby_render::command::Surroundings;
use lobby_render::manifest::Lists;
use lobby_render::runner::{Environment, Stats};
use lobby_render::settings::{TemplateSettings, TemplateSource};
use lobby_render::source::News;
use lobby_render::{Answer, Order, Query, Runner, Settings, Source};
use lobby_testkit::TempDir;
use tokio::sync::mpsc;

const TEMPLATES: usize = 50;
const SERVICES: usize = 1000;
const INSTANCES: usize = 10;

/// A change may take this much processor time: all templates that take in everything are rendered again.
const MOST_PER_CHANGE: Duration = Duration::from_millis(500);

type Watchers = Arc<Mutex<HashMap<Query, mpsc::Sender<News>>>>;

struct Memory(Watchers);

impl Source for Memory {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        self.0.lock().unwrap().insert(query.clone(), news.clone());
        let answer = match &query {
            Query::Services { .. } => {
                let service = |number| CatalogService { name: format!("s{number}"), tags: Vec::new() };
                Answer::Services((0..SERVICES).map(service).collect())
            }
            Query::Service(service) => instances(&service.name, 0),
            _ => panic!("nobody asks this: {query:?}"),
        };
        let _ = news.send(News::Answer(query, answer)).await;
        news.closed().await;
    }
}

fn instances(service: &str, version: usize) -> Answer {
    let instance = |number| {
        let (id, name) = (format!("{service}-{number}"), service.to_owned());
        let (node, address) = (format!("node-{number}"), format!("10.0.{}.{number}", version % 250));
        Arc::new(HealthService { id, name, node, address, port: 8080, status: "passing".into(), ..HealthService::default() })
    };
    Answer::Service((0..INSTANCES).map(instance).collect())
}

/// Every tenth takes in all services, the others 20 each.
fn template(index: usize, folder: &TempDir) -> TemplateSettings {
    let line = "{{range service .Name}}server {{.ID}} {{.Address}}:{{.Port}} check\n{{end}}";
    let text = if index.is_multiple_of(10) {
        format!("{{{{range services}}}}backend {{{{.Name}}}}\n{line}{{{{end}}}}")
    } else {
        let from = index * 20;
        let line = line.replace(".Name", "(print \"s\" .)");
        format!("{{{{range loop {from} {}}}}}{line}{{{{end}}}}", from + 20)
    };
    TemplateSettings::new(TemplateSource::Contents(text), folder.path().join(index.to_string()))
}

pub(crate) fn run(changes: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(churn(usize::try_from(changes).unwrap()));
}

async fn churn(changes: usize) {
    let folder = TempDir::new().unwrap();
    let templates = (0..TEMPLATES).map(|index| template(index, &folder)).collect();
    let settings = Settings { templates, exec: None, wait: None, once: false, dry: false, rate: 0, stagger: None };
    let (around, variables) = (Surroundings::default(), Arc::new(BTreeMap::new()));
    #[expect(clippy::disallowed_methods, reason = "templates are told the time")]
    let clock = SystemTime::now;
    let environment = Environment {
        around,
        variables,
        node: "me".into(),
        keep_going: false,
        lookups_must_succeed: false,
        lists: Lists::default(),
        clock,
        show: |_| {},
    };
    let (watchers, before, start) = (Watchers::default(), resident(), processor());
    let (orders, receiver) = mpsc::channel(1);
    let runner = Runner::new(settings, environment, Memory(watchers.clone()), receiver).unwrap();
    let stats = runner.stats();
    let task = tokio::spawn(runner.run());
    until(&stats, TEMPLATES as u64).await;
    println!("first rendering: {:?} of processor time, {} evaluations", processor() - start, stats.evaluations.get());
    let (start, evaluations, mut writes) = (processor(), stats.evaluations.get(), stats.writes.get());
    for change in 1..=changes {
        let name = format!("s{}", change * 37 % SERVICES);
        let query = Query::service(&name).unwrap();
        let watcher = watchers.lock().unwrap()[&query].clone();
        watcher.send(News::Answer(query, instances(&name, change))).await.unwrap();
        // Those that take in all, and the one that has it, unless that takes in all.
        writes += 5 + u64::from(!(change * 37 % SERVICES / 20).is_multiple_of(10));
        until(&stats, writes).await;
    }
    let each = (processor() - start) / u32::try_from(changes).unwrap();
    println!("| changes | processor time each | evaluations each | files each | resident MiB |");
    let per = |count: u64| count as f64 / changes as f64;
    let (evaluated, written) = (per(stats.evaluations.get() - evaluations), per(writes - TEMPLATES as u64));
    println!("| {changes} | {each:?} | {evaluated:.1} | {written:.1} | {:.1}, {before:.1} before |", resident());
    assert!(each < MOST_PER_CHANGE, "{each:?}");
    orders.send(Order::Stop).await.unwrap();
    assert!(matches!(task.await.unwrap(), Ok(lobby_render::End::Stopped)));
}

async fn until(stats: &Arc<Stats>, writes: u64) {
    while stats.writes.get() < writes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Of this process so far.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
