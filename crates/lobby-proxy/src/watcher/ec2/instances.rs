//! Answers of EC2's DescribeInstances: instances, the token of the next page, and what an error says.

use std::collections::BTreeMap;

use super::xml::{Event, walk};

/// One instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) tags: BTreeMap<String, String>,
}

/// One page of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) instances: Vec<Instance>,
    /// There is more.
    pub(super) next: Option<String>,
}

/// Why EC2 does not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

pub(super) fn page(xml: &str) -> Result<Page, String> {
    let mut page = Page::default();
    let mut is_answer = false;
    let (mut instance, mut key, mut value) = (Instance::default(), String::new(), String::new());
    walk(xml, |path, event| match (path, event) {
        (["DescribeInstancesResponse"], Event::Open) => is_answer = true,
        (["DescribeInstancesResponse", "nextToken"], Event::Close(text)) => {
            page.next = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
        ([_, "reservationSet", "item", "instancesSet", "item", inner @ ..], event) => match (inner, event) {
            ([], Event::Open) => instance = Instance::default(),
            ([], Event::Close(_)) => page.instances.push(std::mem::take(&mut instance)),
            (["privateDnsName"], Event::Close(text)) => instance.name = text.into(),
            (["privateIpAddress"], Event::Close(text)) => instance.address = text.into(),
            (["instanceState", "name"], Event::Close(text)) => instance.state = text.into(),
            (["tagSet", "item"], Event::Open) => (key, value) = Default::default(),
            (["tagSet", "item", "key"], Event::Close(text)) => key = text.into(),
            (["tagSet", "item", "value"], Event::Close(text)) => value = text.into(),
            (["tagSet", "item"], Event::Close(_)) => {
                instance.tags.insert(std::mem::take(&mut key), std::mem::take(&mut value));
            }
            _ => {}
        },
        _ => {}
    })?;
    if is_answer { Ok(page) } else { Err("it is no DescribeInstancesResponse".into()) }
}

/// What stands in an answer that is none; empty if it cannot be read.
pub(super) fn refusal(xml: &str) -> Refusal {
    let mut refusal = Refusal::default();
    let read = walk(xml, |path, event| match (path, event) {
        ([_, "Errors", "Error", "Code"], Event::Close(text)) => refusal.code = text.into(),
        ([_, "Errors", "Error", "Message"], Event::Close(text)) => refusal.message = text.chars().take(200).collect(),
        _ => {}
    });
    if read.is_ok() { refusal } else { Refusal::default() }
}

impl Refusal {
    /// Too many requests: asking less often helps.
    pub(super) fn is_throttled(&self, status: u16) -> bool {
        const CODES: [&str; 5] = ["RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "SlowDown"];
        status == 503 || status == 429 || CODES.contains(&self.code.as_str())
    }

    /// The keys may be too old: others are looked for.
    pub(super) fn is_about_keys(&self) -> bool {
        ["RequestExpired", "ExpiredToken", "AuthFailure", "InvalidClientTokenId"].contains(&self.code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_read_with_tags_and_the_next_page() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <reservationSet>
    <item><reservationId>r-1</reservationId><groupSet/>
      <instancesSet>
        <item><instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><privateIpAddress>10.0.0.1</privateIpAddress>
          <networkInterfaceSet><item><privateIpAddress>10.9.9.9</privateIpAddress>
            <tagSet><item><key>web</key><value>no</value></item></tagSet></item></networkInterfaceSet>
          <tagSet><item><key>web</key><value>a &amp; b</value></item><item><key>empty</key><value/></item></tagSet></item>
        <item><instanceId>i-2</instanceId></item>
      </instancesSet></item>
  </reservationSet>
  <nextToken>more==</nextToken>
</DescribeInstancesResponse>"#;
        let page = page(xml).unwrap();
        assert_eq!(page.next.as_deref(), Some("more=="));
        let one = Instance {
            name: "ip-10-0-0-1.ec2.internal".into(),
            address: "10.0.0.1".into(),
            state: "running".into(),
            tags: [("web".into(), "a & b".into()), ("empty".into(), String::new())].into(),
        };
        assert_eq!(page.instances, [one, Instance::default()]);
    }

    #[test]
    fn an_empty_answer_is_one_and_another_document_is_none() {
        let empty = "<DescribeInstancesResponse><reservationSet/><nextToken/></DescribeInstancesResponse>";
        assert_eq!(page(empty), Ok(Page::default()));
        for bad in ["<html/>", "", "<Response><DescribeInstancesResponse/></Response>", "<DescribeInstancesResponse>"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let xml =
            |code: &str| format!("<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>");
        let refusal = |code: &str| super::refusal(&xml(code));
        assert!(refusal("RequestLimitExceeded").is_throttled(400) && Refusal::default().is_throttled(503));
        assert!(!refusal("UnauthorizedOperation").is_throttled(403));
        assert!(refusal("RequestExpired").is_about_keys() && !refusal("UnauthorizedOperation").is_about_keys());
        assert_eq!(super::refusal("<Response>"), Refusal::default());
    }
}
