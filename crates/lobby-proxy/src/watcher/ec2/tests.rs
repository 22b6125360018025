//! What EC2 is asked and what becomes of its answers; a real fake of it is in `tests/it`.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    Found,
    fetch::{FetchError, Response},
};

type Answer = Result<(u16, String), String>;

/// Answers in order, keeps what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() }
    }

    fn bodies(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
    }
}

impl Fetch for Script {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Err("no more answers".into()));
        answer.map(|(status, body)| Response { status, body: body.into(), ..Response::default() }).map_err(FetchError)
    }
}

fn watch(name: &str, value: &str, seconds: u64) -> Ec2Watch {
    Ec2Watch {
        tag_name: name.into(),
        tag_value: value.into(),
        region: Some("r".into()),
        credentials: Some(("ID".into(), crate::settings::Secret("s".into()))),
        endpoint: Some("http://127.0.0.1:80".into()),
        interval: Duration::from_secs(seconds),
        port: 8080,
    }
}

fn poll(watches: &[Ec2Watch]) -> Vec<Poll> {
    let mut polls = Polls::default();
    watches.iter().cloned().enumerate().for_each(|(at, watch)| polls.add(at, watch));
    polls.into_polls(&BTreeMap::new()).collect()
}

fn answer(instances: &[(&str, &str, &str, &str)], next: &str) -> Answer {
    let instance = |(address, state, name, value): &(&str, &str, &str, &str)| {
        format!(
            "<item><instanceState><name>{state}</name></instanceState><privateDnsName>ip-{address}</privateDnsName>\
             <privateIpAddress>{address}</privateIpAddress><tagSet><item><key>{name}</key><value>{value}</value></item></tagSet></item>"
        )
    };
    let items: String = instances.iter().map(instance).collect();
    Ok((
        200,
        format!(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet>{items}</instancesSet></item></reservationSet>\
             <nextToken>{next}</nextToken></DescribeInstancesResponse>"
        ),
    ))
}

fn throttled() -> Answer {
    Ok((503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>".into()))
}

fn hosts(told: &Told) -> Vec<&str> {
    let Told::Found(Found::Backends { backends, .. }) = told else { panic!("{told:?}") };
    backends.iter().map(|backend| backend.host.as_str()).collect()
}

#[test]
fn one_poll_serves_all_tags_of_region_credentials_and_endpoint() {
    let other = Ec2Watch { region: Some("elsewhere".into()), ..watch("c", "3", 1) };
    let polls = poll(&[watch("a", "1", 30), other, watch("b", "2", 10)]);
    let tags = |poll: &Poll| poll.tags.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!(polls.iter().map(tags).collect::<Vec<_>>(), [vec![0, 2], vec![1]]);
}

#[test]
fn filters_are_as_narrow_as_one_question_can_be() {
    let filter = |watches: &[Ec2Watch]| {
        let tags: Vec<_> = watches.iter().cloned().enumerate().collect();
        let text = form(&tags, None);
        text.split_once("Filter.1.Value.1=running").unwrap().1.to_owned()
    };
    assert_eq!(filter(&[watch("a b", "1*", 1)]), "&Filter.2.Name=tag%3Aa%20b&Filter.2.Value.1=1%5C%2A");
    let values = filter(&[watch("a", "2", 1), watch("a", "1", 1)]);
    assert_eq!(values, "&Filter.2.Name=tag%3Aa&Filter.2.Value.1=1&Filter.2.Value.2=2");
    let names = filter(&[watch("b", "1", 1), watch("a", "1", 1)]);
    assert_eq!(names, "&Filter.2.Name=tag-key&Filter.2.Value.1=a&Filter.2.Value.2=b");
    let many: Vec<_> = (0..=MOST_VALUES).map(|i| watch("a", &i.to_string(), 1)).collect();
    assert_eq!(filter(&many), "&Filter.2.Name=tag-key&Filter.2.Value.1=a");
    let many: Vec<_> = (0..=MOST_VALUES).map(|i| watch(&i.to_string(), "1", 1)).collect();
    assert_eq!(filter(&many), "");
}

#[test]
fn the_host_is_written_as_in_its_header() {
    for (url, want) in [
        ("https://EC2.r.amazonaws.com/", Some(("ec2.r.amazonaws.com", "/"))),
        ("https://h:443/a/", Some(("h", "/a/"))),
        ("http://h:80/", Some(("h", "/"))),
        ("http://h:443/", Some(("h:443", "/"))),
        ("http://[::1]:25/", Some(("[::1]:25", "/"))),
        ("h/", None),
        ("http:///", None),
    ] {
        assert_eq!(host_and_path(url), want.map(|(host, path)| (host.to_owned(), path)), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_joined_and_each_tag_gets_its_running_instances() {
    let script = Script::new([
        answer(&[("10.0.0.2", "running", "web", "1"), ("10.0.0.3", "stopped", "web", "1"), ("", "running", "web", "1")], "p2"),
        answer(
            &[("10.0.0.1", "running", "web", "1"), ("10.0.0.4", "running", "db", "1"), ("10.0.0.5", "running", "web", "2")],
            "",
        ),
    ]);
    let (told, mut news) = mpsc::channel(9);
    let poll = poll(&[watch("web", "1", 30), watch("db", "1", 60)]).pop().unwrap();
    let task = tokio::spawn(poll.run(script.clone(), told));
    let (at, first) = news.recv().await.unwrap();
    assert_eq!((at, hosts(&first)), (0, vec!["10.0.0.1", "10.0.0.2"]));
    let (at, second) = news.recv().await.unwrap();
    assert_eq!((at, hosts(&second)), (1, vec!["10.0.0.4"]));
    let bodies = script.bodies();
    assert!(bodies.len() == 2 && !bodies[0].contains("NextToken") && bodies[1].ends_with("&NextToken=p2"), "{bodies:?}");
    let asked = script.asked.lock().unwrap()[0].clone();
    let header = |name: &str| asked.headers.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!((asked.method, asked.url.as_str()), ("POST", "http://127.0.0.1:80/"));
    assert!(header("authorization").contains("/r/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature="));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_is_trouble_and_throttled_ones_become_rare() {
    let whole = || answer(&[("10.0.0.1", "running", "web", "1")], "");
    let script = Script::new([whole(), answer(&[], "p2"), throttled(), throttled(), throttled(), Err("reset".into()), whole()]);
    let (told, mut news) = mpsc::channel(1);
    let start = tokio::time::Instant::now();
    let task = tokio::spawn(poll(&[watch("web", "1", 10)]).pop().unwrap().run(script, told));
    let mut times = Vec::new();
    let mut troubles = Vec::new();
    for _ in 0..6 {
        let (_, told) = news.recv().await.unwrap();
        times.push(start.elapsed().as_secs_f64());
        troubles.push(matches!(told, Told::Found(Found::Trouble(_))));
    }
    // The second poll fails on its second page: the first page alone is no answer.
    assert_eq!(troubles, [false, true, true, true, true, false]);
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, (least, most)) in pauses.iter().zip([(9.0, 10.1), (10.0, 20.1), (20.0, 40.1), (40.0, 80.1), (9.0, 10.1)]) {
        assert!((least..=most).contains(pause), "{pauses:?}");
    }
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn pages_without_end_are_no_answer() {
    for answers in [vec![answer(&[], "same"); 3], (0..200).map(|i| answer(&[], &i.to_string())).collect()] {
        let script = Script::new(answers);
        let failure = poll(&[watch("web", "1", 10)]).pop().unwrap().ask(&script).await.unwrap_err();
        assert!(failure.text.contains("page"), "{}", failure.text);
        assert!(script.bodies().len() <= MOST_PAGES);
    }
}
