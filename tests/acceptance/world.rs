//! The world that the files of `events/` are written for.

use std::fs;
use std::path::{Path, PathBuf};

use aws::scheduled::{ScheduleArn, SweepSchedules};
use jiff::Timestamp;
use shared::execution::Status;
use shared::operation::Operation;
use tests::JobSetup;

use crate::stage::Stage;

pub(crate) fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(events().join(name)).unwrap()
}

/// The schedules of a stack named `jobwarden`, whose events are in `events/`.
pub(crate) fn sweep_schedules() -> SweepSchedules {
    let arn = |operation: Operation| {
        let arn = format!("arn:aws:scheduler:eu-west-1:123456789012:schedule/default/jobwarden-{operation}");
        ScheduleArn::parse(&arn, Some("eu-west-1")).unwrap()
    };
    SweepSchedules {
        delete_expired: arn(Operation::DeleteExpired),
        cancel_stale: arn(Operation::CancelStale),
    }
}

/// `world.toml` and the objects of `bucket/`, read once for any number of stages.
#[derive(Debug)]
pub(crate) struct SampleWorld {
    jobs: Vec<SampleJob>,
    objects: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
struct SampleJob {
    id: String,
    created: Timestamp,
    setup: JobSetup,
    executions: Vec<(String, Status)>,
}

impl SampleWorld {
    pub(crate) fn read() -> Self {
        let world: toml::Table = toml::from_str(&read("world.toml")).unwrap();
        let jobs = world["job"].as_array().unwrap().iter().map(|job| {
            let tags = job.get("tags").and_then(|tags| tags.as_table()).into_iter().flatten();
            let tags = tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
            let executions = job["executions"].as_array().unwrap().iter().map(|execution| {
                let status = Status::parse(execution["status"].as_str().unwrap()).unwrap();
                (execution["thing"].as_str().unwrap().to_owned(), status)
            });
            SampleJob {
                id: job["id"].as_str().unwrap().to_owned(),
                created: job["created"].as_str().unwrap().parse().unwrap(),
                setup: JobSetup { tags, ..JobSetup::default() },
                executions: executions.collect(),
            }
        });
        let mut objects = Vec::new();
        load(&mut objects, &events().join("bucket"), "");
        Self { jobs: jobs.collect(), objects }
    }

    /// A stage with all of it.
    pub(crate) async fn stage(&self) -> Stage {
        let stage = Stage::new();
        for SampleJob { id, created, setup, executions } in &self.jobs {
            stage.iot.job(id, *created, setup.clone());
            for (thing, status) in executions {
                stage.iot.execution(id, thing, *status, *created, *created);
            }
        }
        for (key, bytes) in &self.objects {
            stage.bucket.place(key, bytes.clone()).await;
        }
        stage
    }
}

fn load(objects: &mut Vec<(String, Vec<u8>)>, directory: &Path, prefix: &str) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            load(objects, &path, &format!("{key}/"));
        } else {
            objects.push((key, fs::read(&path).unwrap()));
        }
    }
}
