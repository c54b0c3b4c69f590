//! What is claimed of the shipped access policy.

/// Whatever the policies allow lies within a bound. Take away a policy that guards the bound, and
/// something is allowed outside of it: otherwise the claim would hold for nothing.
pub struct Claim {
    /// In words.
    pub says: &'static str,
    /// The types of principals that it is about.
    pub principals: &'static [&'static str],
    /// The actions that it is about.
    pub actions: &'static [&'static str],
    /// The bound, as a condition in Cedar.
    pub bound: &'static str,
    /// The policies that guard it, each by itself.
    pub guards: &'static [&'static str],
}

const USER: &str = "Jobwarden::User";
const SWEEPER: &str = "Jobwarden::Sweeper";
const CANCEL: &str = "CancelJobExecution";
const DELETE: &str = "DeleteJobExecution";

/// The claims.
pub const CLAIMS: [Claim; 10] = [
    Claim {
        says: "force needs the force group",
        principals: &[USER],
        actions: &[CANCEL, DELETE],
        bound: r#"!context.force || principal in Jobwarden::Group::"jobwarden-force""#,
        // No permit with force is for others either, so there is nothing to take away.
        guards: &[],
    },
    Claim {
        says: "no sweep uses force, so no schedule leads to a forced cancel or delete",
        principals: &[SWEEPER],
        actions: &[CANCEL, DELETE],
        bound: "!context.force",
        // No permit lets a sweep cancel with force, so there is nothing more to take away.
        guards: &["sweeper-deletes-only-expired-and-archived"],
    },
    Claim {
        says: "executions of held jobs are never touched, by anyone",
        principals: &[USER, SWEEPER],
        actions: &[CANCEL, DELETE],
        bound: r#"!resource.hasTag("jobwarden:hold")"#,
        guards: &["held-jobs-are-untouchable"],
    },
    Claim {
        says: "executions of namespaced jobs are never touched, by anyone",
        principals: &[USER, SWEEPER],
        actions: &[CANCEL, DELETE],
        bound: "!resource.jobNamespaced",
        guards: &["namespaced-jobs-belong-to-another-service"],
    },
    Claim {
        says: "a sweep deletes only what has ended, is past its retention and is archived",
        principals: &[SWEEPER],
        actions: &[DELETE],
        bound: r#"resource.status != Jobwarden::Status::"QUEUED" &&
                  resource.status != Jobwarden::Status::"IN_PROGRESS" &&
                  context.pastRetention && context.archived"#,
        guards: &["sweeper-deletes-only-expired-and-archived"],
    },
    Claim {
        says: "a sweep cancels only what waits, is past its limit, archived and pinned",
        principals: &[SWEEPER],
        actions: &[CANCEL],
        bound: r#"resource.status == Jobwarden::Status::"QUEUED" && context.pastRetention &&
                  context.archived && context.hasExpectedVersion"#,
        guards: &["sweeper-cancels-only-stale-and-pinned"],
    },
    Claim {
        says: "only the sweep that deletes deletes",
        principals: &[SWEEPER],
        actions: &[DELETE],
        bound: r#"principal == Jobwarden::Sweeper::"delete-expired""#,
        guards: &[],
    },
    Claim {
        says: "only the sweep that cancels cancels",
        principals: &[SWEEPER],
        actions: &[CANCEL],
        bound: r#"principal == Jobwarden::Sweeper::"cancel-stale""#,
        guards: &[],
    },
    Claim {
        says: "force on what is active needs a job that queues no other execution",
        principals: &[USER, SWEEPER],
        actions: &[CANCEL, DELETE],
        bound: r#"!(context.force && (resource.jobRetries || resource.jobContinuous) &&
                    (resource.status == Jobwarden::Status::"QUEUED" ||
                     resource.status == Jobwarden::Status::"IN_PROGRESS"))"#,
        guards: &["forced-needs-a-job-without-retries", "forced-needs-a-snapshot-job"],
    },
    Claim {
        says: "who is in neither group may do nothing",
        principals: &[USER],
        actions: &[CANCEL, DELETE, "StartSweep", "ReadSweep", "ReadDecision"],
        bound: r#"principal in Jobwarden::Group::"jobwarden-operators" ||
                  principal in Jobwarden::Group::"jobwarden-force""#,
        guards: &[],
    },
];

/// What is claimed to see that a claim can fail: it is false, and a counterexample has to come.
pub const FALSE: Claim = Claim {
    says: "nobody ever uses force",
    principals: &[USER],
    actions: &[CANCEL, DELETE],
    bound: "!context.force",
    guards: &[],
};
