//! The order in which region, endpoint and keys are found.

use std::sync::{Arc, Mutex};

use super::*;
use crate::fetch::FetchError;

/// Stands in for the metadata service; counts what it is asked.
#[derive(Clone, Default)]
struct Metadata {
    asked: Arc<Mutex<Vec<String>>>,
    /// None: there is no such service.
    end: Option<&'static str>,
}

impl Fetch for Metadata {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        self.asked.lock().unwrap().push(format!("{} {}", request.method, request.url));
        let Some(end) = self.end else { return Err(FetchError("no route".into())) };
        let path = request.url.strip_prefix("http://imds/latest/").expect("the endpoint of the environment");
        let token = request.headers.iter().find(|(name, _)| name == "X-aws-ec2-metadata-token").map(|(_, value)| value.as_str());
        let body = match (request.method, path, token) {
            ("PUT", "api/token", None) => "session".to_owned(),
            ("GET", "meta-data/placement/region", Some("session")) => "eu-west-1\n".into(),
            ("GET", "meta-data/iam/security-credentials/", Some("session")) => "role\n".into(),
            ("GET", "meta-data/iam/security-credentials/role", Some("session")) => {
                format!(r#"{{"Code":"Success","AccessKeyId":"ROLE","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#)
            }
            other => panic!("{other:?}"),
        };
        Ok(Response { status: 200, body: body.into(), ..Response::default() })
    }
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let fixed = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://imds/")];
    Environment(fixed.iter().chain(pairs).map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

fn at(text: &str) -> SystemTime {
    time(text).unwrap()
}

async fn key(pairs: &[(&str, &str)], given: Option<&str>, metadata: &Metadata) -> Result<String, String> {
    let given = given.map(|id| (id.to_owned(), Secret("s".into())));
    let mut who = Who::new(environment(pairs), None, given);
    who.keys(metadata, at("2026-11-22T16:00:00Z"))
        .await
        .map(|keys| format!("{}{}", keys.id, keys.token.map(|token| format!("+{}", token.0)).unwrap_or_default()))
}

#[tokio::test]
async fn keys_come_from_settings_then_environment_then_file_then_role() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".aws")).unwrap();
    let text = "# keys\n[default]\naws_access_key_id = FILE\naws_secret_access_key=s\n\n[ other ]\nAWS_ACCESS_KEY_ID=OTHER\n\
                aws_secret_access_key = s\naws_session_token = o\n[broken]\naws_access_key_id = X\n";
    std::fs::write(folder.path().join(".aws/credentials"), text).unwrap();
    let home = ("HOME", folder.path().to_str().unwrap());
    let env = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "e")];
    let role = Metadata { end: Some("2026-11-22T22:00:00Z"), ..Metadata::default() };
    let all = [home, env[0], env[1], env[2]];
    for (pairs, given, want) in [
        (&all[..], Some("SET"), Ok("SET")),
        (&all, None, Ok("ENV+e")),
        (&[home, env[0]], None, Ok("FILE")),
        (&[home, ("AWS_PROFILE", "other")], None, Ok("OTHER+o")),
        (&[home, ("AWS_PROFILE", "broken")], None, Err("there is no profile \"broken\" with keys")),
        (&[("HOME", "/nowhere")], None, Ok("ROLE+t")),
        (&[("AWS_EC2_METADATA_DISABLED", "true")], None, Err("no credentials: none are set")),
    ] {
        let got = key(pairs, given, &role).await;
        match want {
            Ok(want) => assert_eq!(got.as_deref(), Ok(want)),
            Err(part) => assert!(got.clone().unwrap_err().contains(part), "{got:?}"),
        }
    }
    let got = key(&[], None, &Metadata::default()).await.unwrap_err();
    assert!(got.ends_with("no instance metadata: no route"), "{got}");
}

#[tokio::test]
async fn keys_of_a_role_are_renewed_before_they_end() {
    let mut role = Metadata { end: Some("2026-11-22T22:00:00Z"), ..Metadata::default() };
    let mut who = Who::new(environment(&[]), None, None);
    for (now, n_asked) in [("2026-11-22T16:00:00Z", 4), ("2026-11-22T21:54:59Z", 4), ("2026-11-22T21:55:00Z", 8)] {
        who.keys(&role, at(now)).await.unwrap();
        assert_eq!(role.asked.lock().unwrap().len(), n_asked, "{now}");
    }
    role.end = None;
    assert_eq!(who.keys(&role, at("2026-11-22T21:59:59Z")).await.unwrap().id, "ROLE", "good until the very end");
    assert!(who.keys(&role, at("2026-11-22T22:00:00Z")).await.is_err());
}

#[tokio::test]
async fn the_region_comes_from_settings_then_environment_then_the_instance() {
    let here = Metadata { end: Some(""), ..Metadata::default() };
    let (first, second) = (("AWS_REGION", "r-1"), ("AWS_DEFAULT_REGION", "r-2"));
    for (pairs, given, want) in [
        (&[first, second][..], Some("r-0"), "r-0"),
        (&[first, second], None, "r-1"),
        (&[("AWS_REGION", ""), second], None, "r-2"),
        (&[], None, "eu-west-1"),
    ] {
        let mut who = Who::new(environment(pairs), given.map(str::to_owned), None);
        assert_eq!(who.region(&here).await.as_deref(), Ok(want));
    }
    assert!(Who::new(environment(&[]), None, None).region(&Metadata::default()).await.unwrap_err().contains("AWS_REGION"));
}

#[test]
fn endpoints_are_given_or_those_of_the_region() {
    let (of_ec2, of_all) = (("AWS_ENDPOINT_URL_EC2", "http://e:1"), ("AWS_ENDPOINT_URL", "http://a:2/"));
    for (pairs, given, region, want) in [
        (&[of_ec2, of_all][..], Some("http://g"), "r", "http://g/"),
        (&[of_ec2, of_all], None, "r", "http://e:1/"),
        (&[of_all], None, "r", "http://a:2/"),
        (&[], None, "eu-west-1", "https://ec2.eu-west-1.amazonaws.com/"),
        (&[], None, "cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn/"),
    ] {
        assert_eq!(environment(pairs).endpoint(given, region), want);
    }
}

#[test]
fn times_are_read_as_the_calendar_has_them() {
    for (text, want) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T00:00:00Z", Some(951_782_400)),
        ("2015-08-30T12:36:00.5Z", Some(1_440_938_160)),
        ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
        ("2015-13-30T12:36:00Z", None),
        ("1969-12-31T00:00:00Z", None),
        ("2015-08-30T12:36Z", None),
        ("2015-08-30 12:36:00", None),
        ("99999999999999999999-01-01T00:00:00Z", None),
        ("", None),
    ] {
        assert_eq!(time(text), want.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
    }
}
