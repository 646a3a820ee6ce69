//! Whether a stream is as the gateways agreed: somebody may have changed it since.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::api::{StreamCluster, StreamConfig, StreamInfo, StreamReplica};
use super::{Error, FORMAT, FORMAT_KEY, LOG_ID_KEY, Subjects, WINDOW_KEY};
use crate::log::shared::machine::{WINDOW_KEYS_MAX, WINDOW_MESSAGES, WindowLimits};
use crate::log::shared::stream::StreamSettings;

impl StreamConfig {
    /// What the gateways of the stream agree on.
    ///
    /// # Errors
    /// [`Error::Unfit`], with what to do, if gateways of this version cannot use the stream.
    pub fn settings(
        &self,
        subjects: &Subjects,
        max_payload: usize,
    ) -> Result<StreamSettings, Error> {
        let unfit = |why: String| Error::Unfit(subjects.stream.clone(), why);
        let of = |key: &str| self.metadata.get(key).map(String::as_str);
        let log_id = self.log_id().ok_or_else(|| {
            unfit(format!("has no {LOG_ID_KEY} in its metadata: it is no stream of auditgate"))
        })?;
        match of(FORMAT_KEY) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(unfit(format!(
                    "has messages of format {other:?}, and this version knows format {FORMAT} \
                     only: use a newer auditgate, or set {FORMAT_KEY} in the stream's metadata \
                     back to {FORMAT} if no gateway has published in the other one"
                )));
            }
            None => return Err(unfit(format!("has no {FORMAT_KEY} in its metadata"))),
        }
        // Gateways with other windows would come to other logs.
        let messages = of(WINDOW_KEY).and_then(|text| text.parse().ok());
        if messages != Some(WINDOW_MESSAGES) {
            return Err(unfit(format!(
                "has {WINDOW_KEY} = {:?} in its metadata: set it back to {WINDOW_MESSAGES}",
                of(WINDOW_KEY).unwrap_or_default()
            )));
        }
        if !self.has_subjects(subjects) {
            return Err(unfit(format!(
                "must have the one subject {} and republish it to {}",
                subjects.publish, subjects.live
            )));
        }
        if let Some(wrong) = self.wrong_flag() {
            return Err(unfit(format!("must not have {wrong}")));
        }
        let message_max = usize::try_from(self.max_msg_size).unwrap_or(usize::MAX);
        let window = WindowLimits { messages: WINDOW_MESSAGES, keys: WINDOW_KEYS_MAX };
        let message_bytes_max = max_payload.min(message_max);
        Ok(StreamSettings { log_id, window, message_bytes_max })
    }

    /// What lets messages be removed or changed one by one, or be somewhere else.
    fn wrong_flag(&self) -> Option<&'static str> {
        let wrong = [
            (!self.allow_direct, "allow_direct = false"),
            (!self.deny_delete, "deny_delete = false"),
            (!self.deny_purge, "deny_purge = false"),
            (self.foreign.allow_rollup_hdrs, "allow_rollup_hdrs"),
            (self.foreign.allow_msg_ttl, "allow_msg_ttl"),
            (self.foreign.sealed, "sealed: it takes no messages any more"),
            (self.foreign.mirror.is_some(), "a mirror"),
            (self.foreign.subject_transform.is_some(), "a subject_transform"),
        ];
        wrong.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, what)| what)
    }

    pub fn log_id(&self) -> Option<Uuid> {
        self.metadata.get(LOG_ID_KEY)?.parse().ok()
    }
}

impl StreamInfo {
    /// What of the stream makes a receipt less than it should be, a sentence each.
    pub fn warnings(&self, missing: &[String]) -> Vec<String> {
        let stream = self.config.name();
        let foreign = &self.config.foreign;
        let mut warnings = self.cluster.warnings(stream, self.config.plan().replicas, missing);
        if foreign.persist_mode == "async" {
            warnings.push(format!(
                "stream {stream} acknowledges before it stores: events can be lost; set its persist_mode to default"
            ));
        }
        if !matches!(foreign.compression.as_str(), "" | "none") {
            warnings.push(format!(
                "stream {stream} compresses messages, which are compressed already: versions of NATS until June 2026 damaged such streams; set its compression to none"
            ));
        }
        warnings
    }
}

/// A server is missing when its copy was not current for so long: servers that start, and
/// elections, are shorter.
const MISSING_TIME: Duration = Duration::from_secs(10);

/// Since when servers have no current copy.
#[derive(Debug, Default)]
pub struct ReplicaWatch(BTreeMap<String, Instant>);

impl ReplicaWatch {
    /// The servers that are missing now.
    pub fn missing(&mut self, replicas: &[StreamReplica], now: Instant) -> Vec<String> {
        let behind = replicas.iter().filter(|replica| !replica.current);
        let behind = behind.map(|replica| {
            let since = self.0.get(&replica.name).copied().unwrap_or(now);
            // The leader has watched it for longer.
            let silent = Duration::from_nanos(replica.active);
            let silent = now.checked_sub(silent).unwrap_or(since);
            (replica.name.clone(), since.min(silent))
        });
        self.0 = behind.collect();
        let missing = self.0.iter().filter(|(_, since)| now >= **since + MISSING_TIME);
        missing.map(|(name, _)| name.clone()).collect()
    }
}

/// A server's copy of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The server.
    pub server: String,
    /// How its copy is.
    pub state: ReplicaState,
    /// By how many steps of replication it is behind.
    pub lag: u64,
    /// How long ago the leader heard of the server; `None` for the leader, and if it never did.
    pub silent: Option<Duration>,
}

/// How a server's copy of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// It decides on the order.
    Leader,
    /// It has all.
    Current,
    /// It lacks something.
    Behind,
    /// The server is not reached.
    Offline,
}

impl ReplicaState {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Current => "current",
            Self::Behind => "behind",
            Self::Offline => "offline",
        }
    }
}

impl StreamCluster {
    /// All copies: the leader's, then the others by name.
    pub fn status(&self) -> Vec<ReplicaStatus> {
        let leader = self.leader.clone().map(|server| ReplicaStatus {
            server,
            state: ReplicaState::Leader,
            lag: 0,
            silent: None,
        });
        let others = self.replicas.iter().map(|replica| ReplicaStatus {
            server: replica.name.clone(),
            state: match (replica.offline, replica.current) {
                (true, _) => ReplicaState::Offline,
                (false, true) => ReplicaState::Current,
                (false, false) => ReplicaState::Behind,
            },
            lag: replica.lag,
            silent: Some(Duration::from_nanos(replica.active)).filter(|silent| !silent.is_zero()),
        });
        let mut others: Vec<_> = others.collect();
        others.sort_by(|a, b| a.server.cmp(&b.server));
        leader.into_iter().chain(others).collect()
    }

    /// Servers that are missing.
    fn warnings(&self, stream: &str, wanted: u32, missing: &[String]) -> Vec<String> {
        let told = |name: &String| {
            format!(
                "NATS server {name} is down, or its copy of stream {stream} is behind: without a majority of the {wanted} servers no event is accepted"
            )
        };
        let mut warnings: Vec<_> = missing.iter().map(told).collect();
        let named = self.replicas.len() + usize::from(self.leader.is_some());
        // A server alone tells nothing of others, and during an election one is missing.
        if self.leader.is_some() && !self.replicas.is_empty() && (named as u64) < wanted.into() {
            warnings.push(format!(
                "stream {stream} has {named} of the {wanted} replicas that it should have: add a server"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::shared::stream::jetstream::StreamPlan;

    fn subjects() -> Subjects {
        Subjects::of_log("test").unwrap()
    }

    /// What servers tell of a stream that was made by `cluster init`, with this changed.
    fn info(change: impl FnOnce(&mut serde_json::Value)) -> StreamInfo {
        let plan = StreamPlan { replicas: 3, age_max: None, bytes_max: None };
        let config = StreamConfig::new(&subjects(), plan, Uuid::from_u128(7));
        let mut config = serde_json::to_value(config).unwrap();
        // As servers of 2.15 write it.
        config["compression"] = "none".into();
        config["sealed"] = false.into();
        config["allow_rollup_hdrs"] = false.into();
        let replica = |name: &str| serde_json::json!({"name": name, "current": true, "lag": 0});
        let mut info = serde_json::json!({
            "config": config,
            "state": {"first_seq": 1, "last_seq": 0},
            "cluster": {"leader": "n1", "replicas": [replica("n2"), replica("n3")]},
        });
        change(&mut info);
        serde_json::from_value(info).unwrap()
    }

    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> String {
        info(change).config.settings(&subjects(), 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_that_was_changed_is_refused_in_a_sentence() {
        let whole = info(|_| ());
        let settings = whole.config.settings(&subjects(), 1 << 20).unwrap();
        assert_eq!(settings.log_id, Uuid::from_u128(7));
        assert_eq!((settings.window.messages, settings.message_bytes_max), (1_024, 1 << 20));
        assert_eq!(whole.warnings(&[]), [""; 0]);
        type Change = fn(&mut serde_json::Value);
        let changes: [(Change, &str); 14] = [
            (|it| it["metadata"][FORMAT_KEY] = "2".into(), "format \"2\", and this version knows"),
            (|it| it["metadata"][FORMAT_KEY] = "".into(), "use a newer auditgate"),
            (|it| it["metadata"] = serde_json::json!({}), "no stream of auditgate"),
            (|it| it["metadata"][LOG_ID_KEY] = "x".into(), "auditgate.log_id"),
            (|it| it["metadata"][WINDOW_KEY] = "2048".into(), "set it back to 1024"),
            (|it| it["metadata"][WINDOW_KEY] = "".into(), "set it back to 1024"),
            (|it| it["subjects"] = serde_json::json!(["other"]), "the one subject auditgate.test"),
            (|it| it["republish"] = serde_json::Value::Null, "live.auditgate.test.log"),
            (|it| it["allow_direct"] = false.into(), "allow_direct"),
            (|it| it["deny_purge"] = false.into(), "deny_purge"),
            (|it| it["allow_rollup_hdrs"] = true.into(), "allow_rollup_hdrs"),
            (|it| it["allow_msg_ttl"] = true.into(), "allow_msg_ttl"),
            (|it| it["sealed"] = true.into(), "sealed"),
            (|it| it["subject_transform"] = serde_json::json!({"src": ">"}), "subject_transform"),
        ];
        for (change, why) in changes {
            let refused = refused(|info| change(&mut info["config"]));
            assert!(refused.contains(why) && refused.contains("AUDIT_test"), "{why}: {refused}");
        }
        let mirror = refused(|info| {
            info["config"]["mirror"] = serde_json::json!({"name": "other"});
            info["config"].as_object_mut().unwrap().remove("subjects");
        });
        assert!(mirror.contains("subject"), "{mirror}");
    }

    #[test]
    fn only_the_leader_knows_where_the_stream_ends() {
        let is_of_leader = |change: fn(&mut serde_json::Value)| {
            info(|info| change(&mut info["cluster"])).cluster.is_of_leader()
        };
        assert!(is_of_leader(|_| ()));
        assert!(is_of_leader(|it| it["replicas"] = serde_json::json!([])), "one replica");
        assert!(is_of_leader(|it| *it = serde_json::json!({})), "no cluster");
        assert!(!is_of_leader(|it| it["leader"] = serde_json::Value::Null));
        assert!(!is_of_leader(|it| it["leader"] = "n3".into()), "said by n1");
    }

    #[test]
    fn missing_servers_and_weak_settings_are_warned_of() {
        let warned = |change: fn(&mut serde_json::Value)| info(change).warnings(&[]).join("\n");
        let begun = Instant::now();
        let mut watch = ReplicaWatch::default();
        let gone = info(|info| info["cluster"]["replicas"][1]["current"] = false.into());
        let missing = |watch: &mut ReplicaWatch, info: &StreamInfo, after| {
            watch.missing(&info.cluster.replicas, begun + after)
        };
        assert!(missing(&mut watch, &gone, Duration::ZERO).is_empty());
        assert!(missing(&mut watch, &info(|_| ()), MISSING_TIME / 2).is_empty());
        assert!(missing(&mut watch, &gone, MISSING_TIME).is_empty(), "it was there meanwhile");
        let found = missing(&mut watch, &gone, MISSING_TIME * 2);
        assert_eq!(found, ["n3"]);
        let told = gone.warnings(&found).join("\n");
        assert!(told.contains("n3 is down") && told.contains("majority of the 3"), "{told}");
        // One that watches from now on believes the leader.
        let long = info(|info| {
            let replica = &mut info["cluster"]["replicas"][1];
            *replica = serde_json::json!({"name": "n3", "current": false, "offline": true, "active": 12_000_000_000_u64, "lag": 7});
        });
        assert_eq!(missing(&mut ReplicaWatch::default(), &long, MISSING_TIME), ["n3"]);
        let status = long.cluster.status();
        let shown: Vec<_> =
            status.iter().map(|of| (of.server.as_str(), of.state, of.lag, of.silent)).collect();
        let silent = Some(Duration::from_secs(12));
        let expected = [
            ("n1", ReplicaState::Leader, 0, None),
            ("n2", ReplicaState::Current, 0, None),
            ("n3", ReplicaState::Offline, 7, silent),
        ];
        assert_eq!(shown, expected);
        assert_eq!(gone.cluster.status()[2].state, ReplicaState::Behind);
        let few = warned(|info| {
            info["cluster"]["replicas"].as_array_mut().unwrap().pop();
        });
        assert!(few.contains("2 of the 3 replicas"), "{few}");
        assert_eq!(warned(|info| info["cluster"]["leader"] = serde_json::Value::Null), "");
        assert_eq!(warned(|info| info["cluster"] = serde_json::json!({"leader": "n1"})), "");
        let weak = warned(|info| info["config"]["persist_mode"] = "async".into());
        assert!(weak.contains("persist_mode"), "{weak}");
        let weak = warned(|info| info["config"]["compression"] = "s2".into());
        assert!(weak.contains("compression"), "{weak}");
    }
}
