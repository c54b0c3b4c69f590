//! Proves claims about the access policy: for every request there can be, not for those that a
//! test thought of.
//!
//! `prove [FOLDER]`: the folder holds `access.cedar` and `access.cedarschema`. `CVC5` names the
//! solver's program.

mod claims;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use cedar_policy::{Authorizer, Decision, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};

use claims::{CLAIMS, Claim, FALSE};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "policies".to_owned());
    match prove(Path::new(&folder)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("not proved: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn prove(folder: &Path) -> Result<(), Failure> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (schema, _) = Schema::from_cedarschema_str(&read("access.cedarschema")?)?;
    let policies = named(&PolicySet::from_str(&read("access.cedar")?)?)?;
    let mut prover = Prover { schema, compiler: CedarSymCompiler::new(LocalSolver::cvc5()?)? };

    // First that the solver can say no at all.
    let Some(counterexample) = prover.counterexample(&policies, &FALSE).await? else {
        return Err(format!("the solver believes that {}, which is false: it is broken", FALSE.says).into());
    };
    let answer =
        Authorizer::new().is_authorized(&counterexample.request, &policies, &counterexample.entities);
    if answer.decision() != Decision::Allow {
        return Err("the solver's counterexample is none".into());
    }
    println!("refuted: {} (so that a broken solver cannot pass)", FALSE.says);

    for claim in &CLAIMS {
        let began = Instant::now();
        if let Some(Env { request, entities }) = prover.counterexample(&policies, claim).await? {
            let entities = entities.to_json_value()?;
            return Err(format!("{}; for instance {request} with {entities}", claim.says).into());
        }
        for guard in claim.guards {
            let less = without(&policies, guard)?;
            if prover.counterexample(&less, claim).await?.is_none() {
                return Err(format!("{}: it holds without `{guard}` too", claim.says).into());
            }
        }
        println!("proved: {} ({:.1} s)", claim.says, began.elapsed().as_secs_f64());
    }

    let began = Instant::now();
    prover.never_errs(&policies).await?;
    println!("proved: no policy can raise an error ({:.1} s)", began.elapsed().as_secs_f64());
    let began = Instant::now();
    prover.something_is_allowed(&policies).await?;
    println!("proved: every action is allowed to somebody ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// The policies under their `@id`s.
fn named(parsed: &PolicySet) -> Result<PolicySet, Failure> {
    let mut policies = PolicySet::new();
    for policy in parsed.policies() {
        let id = policy.annotation("id").ok_or("a policy has no @id")?;
        policies.add(policy.new_id(id.parse()?))?;
    }
    Ok(policies)
}

fn without(policies: &PolicySet, id: &str) -> Result<PolicySet, Failure> {
    let mut less = PolicySet::new();
    for policy in policies.policies().filter(|policy| AsRef::<str>::as_ref(policy.id()) != id) {
        less.add(policy.clone())?;
    }
    if less.policies().count() == policies.policies().count() {
        return Err(format!("there is no policy `{id}`").into());
    }
    Ok(less)
}

struct Prover {
    schema: Schema,
    compiler: CedarSymCompiler<LocalSolver>,
}

impl Prover {
    /// A request that the policies allow outside of a claim's bound, if there is one.
    async fn counterexample(&mut self, policies: &PolicySet, claim: &Claim) -> Result<Option<Env>, Failure> {
        let bound = format!("permit (principal, action, resource) when {{ {} }};", claim.bound);
        let bound = PolicySet::from_str(&bound)?;
        let mut asked = 0;
        for env in self.environments() {
            let action = env.action().id().unescaped().to_owned();
            let principal = env.principal().to_string();
            if !claim.principals.contains(&&*principal) || !claim.actions.contains(&&*action) {
                continue;
            }
            asked += 1;
            let allowed = CompiledPolicySet::compile(policies, &env, &self.schema)?;
            let bound = CompiledPolicySet::compile(&bound, &env, &self.schema)?;
            // Cheap to ask without a model first.
            if !self.compiler.check_implies_opt(&allowed, &bound).await? {
                return Ok(self.compiler.check_implies_with_counterexample_opt(&allowed, &bound).await?);
            }
        }
        if asked == 0 { Err(format!("`{}` is about no request", claim.says).into()) } else { Ok(None) }
    }

    async fn never_errs(&mut self, policies: &PolicySet) -> Result<(), Failure> {
        for env in self.environments() {
            for policy in policies.policies() {
                let compiled = CompiledPolicy::compile(policy, &env, &self.schema)?;
                if !self.compiler.check_never_errors_opt(&compiled).await? {
                    return Err(format!("policy `{}` can raise an error", policy.id()).into());
                }
            }
        }
        Ok(())
    }

    /// Of a policy that allows nothing every bound would hold.
    async fn something_is_allowed(&mut self, policies: &PolicySet) -> Result<(), Failure> {
        for env in self.environments() {
            let compiled = CompiledPolicySet::compile(policies, &env, &self.schema)?;
            if self.compiler.check_always_denies_opt(&compiled).await? {
                return Err(format!("{} may never do {}", env.principal(), env.action()).into());
            }
        }
        Ok(())
    }

    fn environments(&self) -> Vec<RequestEnv> {
        self.schema.request_envs().collect()
    }
}
