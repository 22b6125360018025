//! Who asks EC2, and where. Decides in which order region, endpoint and keys are looked for: settings, environment,
//! credentials file, the instance's own metadata (version 2 of that service, with a session).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::{
    fetch::{Fetch, Request, Response},
    settings::Secret,
};

/// The metadata service is a hop away or not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Where it is on every instance.
const METADATA: &str = "http://169.254.169.254";

/// Keys of a role are renewed this long before their end; AWS has new ones at least 5 minutes before.
const EARLY: Duration = Duration::from_secs(300);

/// A credentials file is a few lines.
const FILE_BYTES: u64 = 1 << 20;

/// What signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Of keys that end.
    pub(super) token: Option<Secret>,
}

/// Environment variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(pub(super) BTreeMap<String, String>);

impl Environment {
    /// Not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn region(&self) -> Option<String> {
        self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION")).map(str::to_owned)
    }

    fn keys(&self) -> Option<Keys> {
        let secret = |name| self.get(name).map(|text| Secret(text.to_owned()));
        let (id, secret_key) = (self.get("AWS_ACCESS_KEY_ID")?, secret("AWS_SECRET_ACCESS_KEY")?);
        Some(Keys { id: id.into(), secret: secret_key, token: secret("AWS_SESSION_TOKEN") })
    }

    fn file(&self) -> Option<PathBuf> {
        let given = self.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        given.or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(".aws/credentials")))
    }

    /// The endpoint of a region; with a slash at its end.
    pub(super) fn endpoint(&self, given: Option<&str>, region: &str) -> String {
        let given = given.or_else(|| self.get("AWS_ENDPOINT_URL_EC2")).or_else(|| self.get("AWS_ENDPOINT_URL"));
        match given {
            Some(url) => format!("{}/", url.trim_end_matches('/')),
            None if region.starts_with("cn-") => format!("https://ec2.{region}.amazonaws.com.cn/"),
            None => format!("https://ec2.{region}.amazonaws.com/"),
        }
    }
}

/// The keys of one profile in a credentials file.
fn of_profile(text: &str, profile: &str) -> Option<Keys> {
    let (mut is_here, mut found) = (false, BTreeMap::new());
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_here = name.trim() == profile;
        } else if let (true, Some((name, value))) = (is_here, line.split_once('=')) {
            found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut take = |name: &str| found.remove(name).filter(|value| !value.is_empty());
    let (id, secret) = (take("aws_access_key_id")?, Secret(take("aws_secret_access_key")?));
    Some(Keys { id, secret, token: take("aws_session_token").map(Secret) })
}

/// Finds region and keys, and remembers them while they are good.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) environment: Environment,
    pub(super) region: Option<String>,
    pub(super) given: Option<(String, Secret)>,
    /// With the time of their end.
    role: Option<(Keys, SystemTime)>,
}

/// Of the metadata service.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

impl Who {
    pub(super) fn new(environment: Environment, region: Option<String>, given: Option<(String, Secret)>) -> Self {
        Self { environment, region, given, role: None }
    }

    /// They were refused: a role's are looked up anew.
    pub(super) fn forget(&mut self) {
        self.role = None;
    }

    pub(super) async fn region<F: Fetch>(&mut self, fetch: &F) -> Result<String, String> {
        if let Some(region) = self.region.clone().or_else(|| self.environment.region()) {
            return Ok(region);
        }
        let told = self.metadata(fetch, "placement/region").await;
        let region = told.map_err(|err| format!("no region: none is set, nor AWS_REGION, and {err}"))?;
        Ok(self.region.insert(region).clone())
    }

    pub(super) async fn keys<F: Fetch>(&mut self, fetch: &F, now: SystemTime) -> Result<Keys, String> {
        if let Some((id, secret)) = &self.given {
            return Ok(Keys { id: id.clone(), secret: secret.clone(), token: None });
        }
        if let Some(keys) = self.environment.keys() {
            return Ok(keys);
        }
        if let Some(keys) = self.of_file().await? {
            return Ok(keys);
        }
        if let Some((keys, _)) = self.role.as_ref().filter(|(_, end)| *end > now + EARLY) {
            return Ok(keys.clone());
        }
        match self.of_role(fetch).await {
            Ok((keys, end)) => {
                self.role = Some((keys.clone(), end));
                Ok(keys)
            }
            // The old ones are good until their very end.
            Err(err) => match self.role.as_ref().filter(|(_, end)| *end > now) {
                Some((keys, _)) => Ok(keys.clone()),
                None => Err(format!("no credentials: none are set, nor AWS_ACCESS_KEY_ID, nor a file, and {err}")),
            },
        }
    }

    async fn of_file(&self) -> Result<Option<Keys>, String> {
        let Some(path) = self.environment.file() else { return Ok(None) };
        let profile = self.environment.get("AWS_PROFILE");
        let is_long = tokio::fs::metadata(&path).await.is_ok_and(|file| file.len() > FILE_BYTES || !file.is_file());
        let text = if is_long { None } else { tokio::fs::read_to_string(&path).await.ok() };
        let keys = text.and_then(|text| of_profile(&text, profile.unwrap_or("default")));
        match (profile, keys) {
            (Some(profile), None) => Err(format!("{}: there is no profile {profile:?} with keys", path.display())),
            (_, keys) => Ok(keys),
        }
    }

    async fn of_role<F: Fetch>(&self, fetch: &F) -> Result<(Keys, SystemTime), String> {
        let name = self.metadata(fetch, "iam/security-credentials/").await?;
        let name = name.lines().next().unwrap_or_default().trim();
        let text = self.metadata(fetch, &format!("iam/security-credentials/{name}")).await?;
        let role: Role = serde_json::from_str(&text).map_err(|err| format!("the role's keys cannot be read: {err}"))?;
        let end = time(&role.expiration).ok_or_else(|| format!("the role's keys end at {:?}", role.expiration))?;
        let keys = Keys { id: role.access_key_id, secret: Secret(role.secret_access_key), token: Some(Secret(role.token)) };
        Ok((keys, end))
    }

    /// A document below `/latest/meta-data/`. A session each time: it is asked a few times a day.
    async fn metadata<F: Fetch>(&self, fetch: &F, path: &str) -> Result<String, String> {
        if self.environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err("the instance's metadata are not asked (AWS_EC2_METADATA_DISABLED)".into());
        }
        let base = self.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(METADATA).trim_end_matches('/');
        let ask = |method, path: &str, name: &str, value: &str| Request {
            method,
            url: format!("{base}{path}"),
            headers: vec![(name.into(), value.into())],
            timeout: METADATA_TIMEOUT,
            ..Request::default()
        };
        let token = ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = text(fetch.fetch(token).await.map_err(|err| format!("no instance metadata: {err}"))?)?;
        let request = ask("GET", &format!("/latest/meta-data/{path}"), "X-aws-ec2-metadata-token", &token);
        text(fetch.fetch(request).await.map_err(|err| format!("no instance metadata: {err}"))?)
    }
}

fn text(response: Response) -> Result<String, String> {
    let text = String::from_utf8(response.body).unwrap_or_default();
    match (response.status, text.trim()) {
        (200, text) if !text.is_empty() => Ok(text.into()),
        (status, _) => Err(format!("the instance's metadata service answers with status {status}")),
    }
}

/// `2026-11-22T16:00:00Z`; fractions of a second are passed over.
fn time(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.trim().strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, mark: char| -> Option<[u64; 3]> {
        text.split(mark).map(|part| part.parse().ok()).collect::<Option<Vec<_>>>()?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let is_valid = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March, so that the leap day is the last; 719 468 days lie between 0000-03-01 and 1970-01-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests;
