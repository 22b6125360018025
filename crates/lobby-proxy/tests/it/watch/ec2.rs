//! Instances of moto, a real implementation of EC2's interface in Python. It checks no signature; those are held to AWS's own
//! vectors beside their code.

use lobby_proxy::settings::{Discovery, Ec2Watch};
use lobby_testkit::server::{Server, moto};

use super::{EVERY, complains, run, shown, shows};
use crate::fetch::Plain;

/// AWS gives at most 1000 at once, and moto as many: small pages, so that there are several.
const SMALL_PAGES: Plain = Plain { replace: Some(("MaxResults=1000", "MaxResults=5")) };

fn tagged(name: &str, value: &str, port: u16) -> Discovery {
    Discovery::Ec2Tag(Ec2Watch {
        tag_name: name.into(),
        tag_value: value.into(),
        region: None,
        credentials: None,
        endpoint: None,
        interval: EVERY,
        port,
    })
}

/// One answer of moto to an action.
fn ask(server: &Server, form: &str) -> String {
    let body = format!("Version=2016-11-15&{form}");
    let credential = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", credential)];
    let response = lobby_testkit::http::request(server.address, "POST", "/", &headers, body.as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

fn within<'a>(text: &'a str, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = text.split_once(&open).unwrap_or_else(|| panic!("no {name} in {text}")).1;
    rest.split_once(&close).unwrap().0
}

/// Starts one instance: its id, and how it is shown with the port.
fn start(server: &Server, tags: &[(&str, &str)], port: u16) -> (String, String) {
    let mut form =
        "Action=RunInstances&ImageId=ami-12c6146b&MinCount=1&MaxCount=1&TagSpecification.1.ResourceType=instance".to_owned();
    for (at, (name, value)) in tags.iter().enumerate() {
        let at = at + 1;
        form += &format!("&TagSpecification.1.Tag.{at}.Key={name}&TagSpecification.1.Tag.{at}.Value={value}");
    }
    let answer = ask(server, &form);
    let shown = format!("{} {}:{port}", within(&answer, "privateDnsName"), within(&answer, "privateIpAddress"));
    (within(&answer, "instanceId").to_owned(), shown)
}

fn sorted(all: &[(String, String)]) -> Vec<&str> {
    let mut all: Vec<_> = all.iter().map(|(_, shown)| shown.as_str()).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn pages_tags_and_states_are_followed() {
    let mut server = moto::start();
    let mut web: Vec<_> = (0..12).map(|_| start(&server, &[("web", "true"), ("zone", "a b")], 80)).collect();
    let db = start(&server, &[("db", "true")], 5432);
    start(&server, &[("web", "false"), ("other", "true")], 80);
    let environment = [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &*format!("http://{}", server.address)),
    ];
    let discoveries = vec![tagged("web", "true", 80), tagged("db", "true", 5432), tagged("none", "true", 1)];
    let (picture, _watching) = run(discoveries, SMALL_PAGES, &environment);
    shows(&picture, 0, &sorted(&web)).await;
    shows(&picture, 1, &[&*db.1]).await;
    shows(&picture, 2, &[]).await;
    assert_eq!(picture.borrow()[0].backends.as_ref().unwrap()[0].labels["zone"], "a b");
    // One is stopped, one terminated, one loses its tag, one more comes, db gets a second tag.
    for (action, change) in
        [("StopInstances", "InstanceId.1"), ("TerminateInstances", "InstanceId.1"), ("DeleteTags", "ResourceId.1")]
    {
        let (id, _) = web.pop().unwrap();
        let tag = if action == "DeleteTags" { "&Tag.1.Key=web" } else { "" };
        ask(&server, &format!("Action={action}&{change}={id}{tag}"));
    }
    web.push(start(&server, &[("web", "true")], 80));
    shows(&picture, 0, &sorted(&web)).await;
    ask(&server, &format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key=none&Tag.1.Value=true", db.0));
    shows(&picture, 2, &[&*db.1.replace(":5432", ":1")]).await;
    server.kill();
    complains(&picture, 0, "ec2: ").await;
    shows(&picture, 0, &sorted(&web)).await;
    // It forgot everything: a definite answer without any.
    server.restart();
    shows(&picture, 0, &[]).await;
}

#[tokio::test]
async fn the_role_and_region_of_an_instance_are_found_in_its_metadata() {
    let server = moto::start();
    let web = start(&server, &[("web", "true")], 80);
    let url = format!("http://{}", server.address);
    let environment = [("AWS_ENDPOINT_URL_EC2", &*url), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*url)];
    let (picture, _watching) = run(vec![tagged("web", "true", 80)], Plain::default(), &environment);
    shows(&picture, 0, &[&*web.1]).await;
    let log = server.log();
    for asked in
        ["PUT /latest/api/token", "GET /latest/meta-data/placement/region", "GET /latest/meta-data/iam/security-credentials/"]
    {
        assert!(log.contains(asked), "{asked} is not in {log}");
    }
}

#[tokio::test]
async fn without_an_answer_nothing_is_known() {
    let nobody = format!("http://{}", lobby_testkit::port::free_address());
    let environment = [("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*nobody)];
    let (picture, _watching) = run(vec![tagged("web", "true", 80)], Plain::default(), &environment);
    complains(&picture, 0, "no credentials: none are set").await;
    assert_eq!(shown(&picture, 0), None);
}
