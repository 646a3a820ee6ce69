//! A disk that is full, and then is not.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::{Receipt, StorageState};
use tonic::Code;

use crate::emitter::{Known, event};
use crate::gateway::{Gateway, Place, WAIT_MAX, read};
use crate::skip;

/// A small file system, for as long as the test runs.
struct Small(PathBuf);

impl Small {
    fn mount(place: &Place) -> Option<Self> {
        let path = place.folder.path().join("small");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1536k", "tmpfs"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

type Client = AuditServiceClient<tonic::transport::Channel>;

async fn emit(client: &mut Client, id: &str) -> Result<Receipt, tonic::Status> {
    let request = pb::EmitRequest { event: Some(event(id)), validate_only: false };
    client.emit(request).await.map(|response| response.into_inner().receipt.unwrap())
}

async fn storage(client: &mut Client) -> StorageState {
    let status = client.get_status(pb::GetStatusRequest {}).await.unwrap().into_inner();
    status.disk.unwrap().state()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_events_until_there_is_space() {
    let place = Place::new();
    let Some(small) = Small::mount(&place) else {
        return skip("a_full_disk", "no file system can be mounted here");
    };
    let data = small.0.join("data");
    let ballast = small.0.join("ballast");
    std::fs::write(&ballast, vec![1; 768 * 1024]).unwrap();
    let gateway = Gateway::start(&place, &data, &[]).unwrap();
    let server = format!("http://{}", gateway.address);
    let mut client = AuditServiceClient::connect(server).await.unwrap();
    let mut known = Known::default();
    let mut number = 0;
    let refused = loop {
        let id = format!("id-{number}");
        known.sent.push(vec![id.clone()]);
        match emit(&mut client, &id).await {
            Ok(receipt) => known.acknowledged.insert(id, receipt.sequence),
            Err(status) => break status,
        };
        number += 1;
        assert!(number < 5_000, "the disk is full at some time");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("no space for more events"), "{refused:?}");
    assert_eq!(storage(&mut client).await, StorageState::Full);
    assert!(number > 50, "some went before: {number}");

    std::fs::remove_file(&ballast).unwrap();
    let since = Instant::now();
    loop {
        let id = format!("id-{number}");
        match emit(&mut client, &id).await {
            Ok(receipt) => {
                known.acknowledged.insert(id, receipt.sequence);
                break;
            }
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
        }
        assert!(since.elapsed() < WAIT_MAX, "it recovers by itself");
    }
    for more in number + 1..number + 40 {
        let id = format!("id-{more}");
        known.sent.push(vec![id.clone()]);
        let receipt = emit(&mut client, &id).await.unwrap();
        known.acknowledged.insert(id, receipt.sequence);
    }
    assert_eq!(storage(&mut client).await, StorageState::Ready);
    gateway.kill();
    known.check(&read(&data).await);
}
