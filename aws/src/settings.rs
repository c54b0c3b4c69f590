//! Settings: read once, typed, and refused loudly. Nothing has a silent default.

use std::collections::BTreeMap;
use std::fmt;

use shared::api::CallerIdentity;
use shared::lane::Lanes;
use shared::sweep::CallRate;

use crate::documents::Place;
use crate::scheduled::{ScheduleArn, SweepSchedules};

/// The prefix of every variable of ours.
const PREFIX: &str = "JOBWARDEN_";

/// The variable with the function's own Region.
const REGION: &str = "AWS_REGION";

/// The variables of the environment that are ours, taken one by one.
#[derive(Debug)]
pub struct Settings {
    given: BTreeMap<String, String>,
    /// The function's own Region, which Lambda says.
    region: Option<String>,
    problems: Vec<String>,
}

/// Everything wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the function's environment is wrong: {}", self.0.join("; "))
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads settings from the environment: `take` takes each variable that the function has.
    ///
    /// # Errors
    /// When one is missing or wrong, or the environment has one of ours that the function does
    /// not take; all of them at once.
    pub fn read<T>(take: impl FnOnce(&mut Self) -> T) -> Result<T, SettingsError> {
        // A variable that is not Unicode is not ours.
        let vars = std::env::vars_os();
        let vars =
            vars.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::read_from(vars, take)
    }

    fn read_from<T>(
        vars: impl Iterator<Item = (String, String)>,
        take: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, SettingsError> {
        let mut given: BTreeMap<_, _> =
            vars.filter(|(name, _)| name.starts_with(PREFIX) || name == REGION).collect();
        let region = given.remove(REGION);
        let mut settings = Self { given, region, problems: Vec::new() };
        let taken = take(&mut settings);
        for name in settings.given.keys() {
            settings.problems.push(format!("{name} is not known here; remove it or correct its name"));
        }
        if settings.problems.is_empty() { Ok(taken) } else { Err(SettingsError(settings.problems)) }
    }

    /// Takes one variable. A problem is noted and answered with `instead`, which never gets out.
    fn take<T>(&mut self, name: &str, instead: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let name = format!("{PREFIX}{name}");
        let parsed = match self.given.remove(&name) {
            None => Err(format!("{name} is missing; set it")),
            Some(value) => parse(&value).map_err(|problem| format!("{name}: {problem}")),
        };
        parsed.unwrap_or_else(|problem| {
            self.problems.push(problem);
            instead
        })
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name, String::new(), |value| {
            if value.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(value.to_owned()) }
        })
    }

    fn flag(&mut self, name: &str, instead: bool) -> bool {
        self.take(name, instead, |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("`{other}` must be true or false")),
        })
    }

    /// `JOBWARDEN_CALLER_IDENTITY`: which authorizer stands before the API.
    pub fn caller_identity(&mut self) -> CallerIdentity {
        self.take("CALLER_IDENTITY", CallerIdentity::Iam, |value| {
            CallerIdentity::parse(value).ok_or_else(|| format!("`{value}` must be iam or claims"))
        })
    }

    /// `JOBWARDEN_ACCESS_POLICY`: where the access policy is kept.
    pub fn access_policy(&mut self) -> Place {
        self.take("ACCESS_POLICY", Place::Compiled, Place::parse)
    }

    /// `JOBWARDEN_RETENTION_RULES`: where the retention rules are kept.
    pub fn retention_rules(&mut self) -> Place {
        self.take("RETENTION_RULES", Place::Compiled, Place::parse)
    }

    /// `JOBWARDEN_BUCKET`: the bucket of states, reports and archives.
    pub fn bucket(&mut self) -> String {
        self.text("BUCKET")
    }

    /// `JOBWARDEN_DRY_RUN`: whether the deployment allows dry runs only.
    pub fn dry_run(&mut self) -> bool {
        self.flag("DRY_RUN", true)
    }

    /// `JOBWARDEN_RETIRE_JOBS`: whether whole jobs may be deleted, where their retention rule says so.
    pub fn retire_jobs(&mut self) -> bool {
        self.flag("RETIRE_JOBS", false)
    }

    /// `JOBWARDEN_QUEUE_URL`: a worker's own queue.
    pub fn queue_url(&mut self) -> String {
        self.text("QUEUE_URL")
    }

    /// `JOBWARDEN_DELETE_EXPIRED_QUEUE_URL`.
    pub fn delete_expired_queue_url(&mut self) -> String {
        self.text("DELETE_EXPIRED_QUEUE_URL")
    }

    /// `JOBWARDEN_CANCEL_STALE_QUEUE_URL`.
    pub fn cancel_stale_queue_url(&mut self) -> String {
        self.text("CANCEL_STALE_QUEUE_URL")
    }

    /// `JOBWARDEN_DELETE_EXPIRED_SCHEDULE_ARN` and `JOBWARDEN_CANCEL_STALE_SCHEDULE_ARN`: the schedules that
    /// start sweeps.
    pub fn sweep_schedules(&mut self) -> SweepSchedules {
        let schedules = SweepSchedules {
            delete_expired: self.schedule("DELETE_EXPIRED_SCHEDULE_ARN"),
            cancel_stale: self.schedule("CANCEL_STALE_SCHEDULE_ARN"),
        };
        if self.problems.is_empty() && schedules.delete_expired == schedules.cancel_stale {
            self.problems.push("one schedule cannot start both operations; name one for each".to_owned());
        }
        schedules
    }

    fn schedule(&mut self, name: &str) -> ScheduleArn {
        let region = self.region.clone();
        self.take(name, ScheduleArn::default(), |value| ScheduleArn::parse(value, region.as_deref()))
    }

    /// `JOBWARDEN_LANES`: the Regions and accounts that are swept besides the function's own.
    pub fn lanes(&mut self) -> Lanes {
        let region = self.region.clone();
        self.take("LANES", Lanes::default(), |value| {
            Lanes::parse(value, region.as_deref()).map_err(|problems| problems.join(", "))
        })
    }

    /// `JOBWARDEN_CALLS_PER_SECOND`: the rate of a sweep's calls, for each operation.
    pub fn calls_per_second(&mut self) -> CallRate {
        self.take("CALLS_PER_SECOND", CallRate::LOWEST, CallRate::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<(String, bool), SettingsError> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::read_from(vars, |settings| (settings.bucket(), settings.dry_run()))
    }

    #[test]
    fn settings_are_typed_and_other_variables_are_nobodys_business() {
        let vars = [("JOBWARDEN_BUCKET", "b"), ("JOBWARDEN_DRY_RUN", "false"), ("HOME", "/")];
        assert_eq!(read(&vars), Ok(("b".to_owned(), false)));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let vars = [("JOBWARDEN_DRY_RUN", "no"), ("JOBWARDEN_BUKET", "b")];
        assert_eq!(
            read(&vars).unwrap_err().to_string(),
            "the function's environment is wrong: JOBWARDEN_BUCKET is missing; set it; JOBWARDEN_DRY_RUN: `no` must be \
             true or false; JOBWARDEN_BUKET is not known here; remove it or correct its name"
        );
    }

    #[test]
    fn lanes_are_told_from_the_functions_own_region() {
        let read = |lanes: &str| {
            let vars = [("JOBWARDEN_LANES", lanes), ("AWS_REGION", "eu-west-1")];
            let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Settings::read_from(vars, Settings::lanes).map(|lanes| lanes.iter().count())
        };
        assert_eq!(read(""), Ok(0));
        assert_eq!(read("us=us-east-1"), Ok(1));
        assert_eq!(
            read("eu=eu-west-1,us").unwrap_err().to_string(),
            "the function's environment is wrong: JOBWARDEN_LANES: `us` must be NAME=REGION or NAME=REGION@ROLE_ARN, \
             with :live behind it if its sweeps may act, `eu` is the stack's own account and Region, which has its lane already"
        );
    }

    #[test]
    fn each_operation_has_a_schedule_of_its_own_in_the_functions_region() {
        let arn = |region: &str, name: &str| {
            format!("arn:aws:scheduler:{region}:123456789012:schedule/default/jobwarden-{name}")
        };
        let read = |delete: String, cancel: String| {
            let vars = [
                ("JOBWARDEN_DELETE_EXPIRED_SCHEDULE_ARN", delete),
                ("JOBWARDEN_CANCEL_STALE_SCHEDULE_ARN", cancel),
                ("AWS_REGION", "eu-west-1".to_owned()),
            ];
            let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value));
            Settings::read_from(vars, Settings::sweep_schedules).map_err(|error| error.to_string())
        };
        let (delete, cancel) = (arn("eu-west-1", "delete-expired"), arn("eu-west-1", "cancel-stale"));
        assert_eq!(read(delete.clone(), cancel.clone()).unwrap().cancel_stale.as_str(), cancel);
        assert!(read(delete.clone(), delete.clone()).unwrap_err().contains("cannot start both operations"));
        let told = read(arn("us-east-1", "delete-expired"), "jobwarden-cancel-stale".to_owned()).unwrap_err();
        assert!(told.contains("DELETE_EXPIRED_SCHEDULE_ARN: `arn:aws:scheduler:us-east-1"), "{told}");
        assert!(
            told.contains("CANCEL_STALE_SCHEDULE_ARN: `jobwarden-cancel-stale` must be the ARN"),
            "{told}"
        );
    }

    #[test]
    fn an_empty_dry_run_is_not_false() {
        assert!(read(&[("JOBWARDEN_BUCKET", "b"), ("JOBWARDEN_DRY_RUN", "")]).is_err());
        assert!(read(&[("JOBWARDEN_BUCKET", " "), ("JOBWARDEN_DRY_RUN", "true")]).is_err());
    }
}
