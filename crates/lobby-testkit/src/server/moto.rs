//! moto's server: Amazon's interfaces (here EC2) with everything in memory, which a restart forgets. For correctness only: it
//! checks no signature and is slow.

use super::Server;
use crate::{http, port};

/// One virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// For what is done with it.
    pub id: String,
    /// Its private DNS name.
    pub name: String,
    /// Its private address.
    pub address: String,
}

/// Starts one.
pub fn start() -> Server {
    let address = port::free_address();
    let args = ["-H".to_owned(), address.ip().to_string(), "-p".into(), address.port().to_string()];
    Server::start("moto_server", address, super::folder("moto"), args.into())
}

/// Starts one instance with a tag.
#[track_caller]
pub fn launch(server: &Server, tag: &str, value: &str) -> Instance {
    let tag = format!("TagSpecification.1.Tag.1.Key={tag}&TagSpecification.1.Tag.1.Value={value}");
    let kind = "ImageId=ami-12c6146b&MinCount=1&MaxCount=1&TagSpecification.1.ResourceType=instance";
    let answer = ask(server, &format!("Action=RunInstances&{kind}&{tag}"));
    let field = |name: &str| {
        let rest = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {answer}")).1;
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    Instance { id: field("instanceId"), name: field("privateDnsName"), address: field("privateIpAddress") }
}

/// Ends one for good.
#[track_caller]
pub fn terminate(server: &Server, instance: &Instance) {
    ask(server, &format!("Action=TerminateInstances&InstanceId.1={}", instance.id));
}

/// One answer to an action of EC2's interface; panics when it is an error.
#[track_caller]
pub fn ask(server: &Server, form: &str) -> String {
    let body = format!("Version=2016-11-15&{form}");
    let credential = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", credential)];
    let response = http::request(server.address, "POST", "/", &headers, body.as_bytes()).expect("moto answers");
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}
