//! A model of the races: every interleaving of a device, a job that queues again, a second deleter,
//! answers that are lost and calls that land late, with the guarded operations step by step.
//!
//! It shows what holds with us as the only deleter, what AWS's own forced delete loses, what each part
//! of the protocol is for, and what is left over: each residual race is an expected counterexample.
//! Whoever closes one sees its test fail, and turns it into a claim that holds.
//!
//! The world is one job on one thing: at most three executions, two reports of progress and one
//! deletion by somebody else. AWS queues an execution only while no other is under way, takes in each
//! call at one moment, and may show a cancellation late. A lost call is one that is held up and never
//! lands. The steps are those of the code: the last two tests let both live through the same runs.

mod claims;
mod cloud;
mod protocol;
mod replay;
mod scene;
mod wire;

use std::collections::HashSet;

use shared::execution::Status;
use stateright::{Checker, Expectation, Model, Path};

use claims::Claim;
use cloud::Moment::{Later, SameSecond};
use cloud::Report::{Fails, Starts, Succeeds};
use protocol::{Job, Operation, Safeguard};
use scene::Action::{Device, Lands, Ours, Requeue, Retry};
use scene::{Action, Scene, SecondDeleter, Turns};
use wire::Fate::{AnswerLost, Answered, HeldUp};

/// The next call of our only operation, and it is answered.
const US: Action = Ours(0, Answered);
/// The same, and its answer is lost.
const US_UNHEARD: Action = Ours(0, AnswerLost);
/// The same, and it does not arrive before it is given up on.
const US_HELD_UP: Action = Ours(0, HeldUp);
/// Somebody else deletes the first execution.
const SOMEBODY_DELETES: Action = Action::SecondDeleter(1);

const GUARDED: [Operation; 4] =
    [Operation::Cancel, Operation::ForcedCancel, Operation::Delete, Operation::ForcedDelete];

/// Every claim of the scene holds in every state, and there are at least so many.
#[track_caller]
fn holds(scene: Scene, at_least: usize) {
    let told = format!("{:?} by {:?}", scene.ours, scene.rules);
    let checker = scene.checker().spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states >= at_least, "only {states} states: {told}");
}

/// These steps break the claim, and fewer do not.
#[track_caller]
fn breaks(scene: &Scene, claim: Claim, steps: &[Action]) {
    let checker = scene.clone().claiming(&[claim]).checker().spawn_bfs().join();
    let shortest = checker.assert_any_discovery(claim.name()).into_actions();
    checker.assert_discovery(claim.name(), steps.to_vec());
    assert_eq!(shortest.len(), steps.len(), "{shortest:?}");
}

/// Without this part of the protocol these steps break the claim, and with it they do not.
#[track_caller]
fn needs(safeguard: Safeguard, scene: &Scene, claim: Claim, steps: &[Action]) {
    breaks(&scene.clone().without(safeguard), claim, steps);
    let property = claim.property();
    assert_eq!(property.expectation, Expectation::Always);
    for start in scene.init_states() {
        if let Some(path) = Path::from_actions(scene, start, steps) {
            assert!((property.condition)(scene, path.last_state()), "{steps:?}");
        }
    }
}

// With us as the only deleter.

#[test]
fn a_guarded_delete_loses_nothing_and_hits_nothing_else() {
    holds(Scene::of(Operation::Delete, Job::Snapshot), 150);
    let scene = Scene::of(Operation::Delete, Job::RetriesAndContinuous);
    holds(scene.clone().with_queued_deleted(), 60_000);
    holds(scene, 60_000);
}

#[test]
fn a_guarded_forced_delete_loses_nothing_and_hits_nothing_else() {
    let scene = Scene::of(Operation::ForcedDelete, Job::Snapshot);
    holds(scene.clone().with_queued_deleted(), 900);
    holds(scene, 900);
}

#[test]
fn a_guarded_forced_cancel_hits_nothing_else_and_says_what_is_true() {
    holds(Scene::of(Operation::ForcedCancel, Job::Snapshot), 500);
}

#[test]
fn a_guarded_cancel_hits_nothing_else_where_no_other_execution_may_come() {
    holds(Scene::of(Operation::Cancel, Job::Snapshot), 150);
}

#[test]
fn a_guarded_cancel_that_hits_another_execution_never_passes_for_a_success() {
    let scene = Scene::of(Operation::Cancel, Job::RetriesAndContinuous);
    holds(scene.claiming(&Claim::WHATEVER_IS_HIT), 300_000);
}

#[test]
fn the_shipped_policy_keeps_force_away_from_what_another_execution_may_follow() {
    let scene = Scene::of(Operation::ForcedCancel, Job::RetriesAndContinuous);
    holds(scene.claiming(&[Claim::OnlyTheDecided]), 30_000);
    holds(Scene::of(Operation::ForcedDelete, Job::RetriesAndContinuous), 30_000);
}

#[test]
fn even_where_force_is_permitted_on_such_jobs_no_result_is_lost() {
    let mut scene = Scene::of(Operation::ForcedDelete, Job::RetriesAndContinuous).permitted();
    scene.progress = 1;
    holds(scene.with_queued_deleted().claiming(&Claim::WHATEVER_IS_HIT), 150_000);
}

#[test]
fn guarded_operations_do_not_disturb_each_other_where_no_other_execution_may_come() {
    for (nth, first) in GUARDED.into_iter().enumerate() {
        for second in &GUARDED[nth..] {
            let mut scene = Scene::of(first, Job::Snapshot).with_reads_answered();
            scene.rules.looks = 2;
            holds(scene.and(*second, Turns::AtOnce), 1_500);
        }
    }
}

#[test]
fn a_second_deleter_does_no_harm_where_no_other_execution_may_come() {
    for operation in GUARDED {
        let scene = Scene::of(operation, Job::Snapshot).beside(SecondDeleter::Forces);
        holds(scene.with_queued_deleted(), 250);
    }
}

// What AWS's own forced delete loses.

#[test]
fn a_bare_forced_delete_loses_a_result_to_one_event() {
    let scene = Scene::of(Operation::BareForcedDelete, Job::Snapshot).from(&[Status::InProgress]);
    breaks(&scene, Claim::ResultsAreArchived, &[US, Device(1, Succeeds), US]);
}

// What each part of the protocol is for.

#[test]
fn without_the_pin_a_cancel_ends_what_nobody_judged() {
    let scene = Scene::of(Operation::ForcedCancel, Job::Snapshot).from(&[Status::Queued]);
    let steps = [US, Device(1, Starts), US];
    needs(Safeguard::Pin, &scene, Claim::OnlyTheDecided, &steps);
}

#[test]
fn without_the_cancel_an_archived_execution_still_loses_its_result() {
    let scene = Scene::of(Operation::ForcedDelete, Job::Snapshot).from(&[Status::InProgress]);
    let steps = [US, US, Device(1, Succeeds), US];
    needs(Safeguard::CancelFirst, &scene, Claim::ResultsAreArchived, &steps);
}

#[test]
fn without_the_archive_a_result_is_lost() {
    let scene = Scene::of(Operation::Delete, Job::Snapshot).from(&[Status::Succeeded]);
    for claim in [Claim::ResultsAreArchived, Claim::DeletionsAreArchived] {
        needs(Safeguard::Archive, &scene, claim, &[US, US]);
    }
}

#[test]
fn without_the_comparison_a_forced_delete_cancels_what_stands_in_front() {
    let scene = Scene::of(Operation::ForcedDelete, Job::Snapshot).from(&[Status::Queued, Status::Queued]);
    needs(Safeguard::Comparison, &scene, Claim::OnlyTheDecided, &[US, US, US]);
}

#[test]
fn without_the_identity_a_cancel_takes_another_execution_for_its_own() {
    let scene =
        Scene::of(Operation::Cancel, Job::Continuous).from(&[Status::Queued]).beside(SecondDeleter::Forces);
    let steps = [US, SOMEBODY_DELETES, Requeue(Later), US, US];
    needs(Safeguard::Identity, &scene, Claim::HitsAreTold, &steps);
}

#[test]
fn without_the_look_a_lost_call_passes_for_a_success() {
    let scene = Scene::of(Operation::Cancel, Job::Snapshot).from(&[Status::Queued]);
    needs(Safeguard::Look, &scene, Claim::SuccessIsTrue, &[US, US_HELD_UP]);
    let scene = Scene::of(Operation::Delete, Job::Snapshot).from(&[Status::Succeeded]);
    needs(Safeguard::Look, &scene, Claim::SuccessIsTrue, &[US, US, US_HELD_UP]);
}

/// Whether every look fails, or somebody else deletes the first execution before it can be looked at.
#[test]
fn without_the_doubt_a_cancel_of_the_next_execution_passes_for_a_success() {
    let scene = Scene::of(Operation::Cancel, Job::Retries).from(&[Status::Queued]);
    let hit = [US, Device(1, Starts), Device(1, Fails), Retry(Later), US];
    let steps = [hit.as_slice(), &[US_UNHEARD; 5]].concat();
    for claim in [Claim::SuccessIsTrue, Claim::HitsAreTold] {
        needs(Safeguard::Doubt, &scene, claim, &steps);
    }
    let steps = [hit.as_slice(), &[SOMEBODY_DELETES, US]].concat();
    let scene = scene.beside(SecondDeleter::Plain).with_reads_answered();
    needs(Safeguard::Doubt, &scene, Claim::HitsAreTold, &steps);
}

// What is left over: expected counterexamples.

#[test]
fn residual_a_cancel_hits_the_execution_that_comes_next_because_versions_start_again() {
    let scene = Scene::of(Operation::Cancel, Job::Retries).from(&[Status::Queued]);
    let steps = [US, Device(1, Starts), Device(1, Fails), Retry(Later), US];
    breaks(&scene, Claim::OnlyTheDecided, &steps);

    let scene = Scene::of(Operation::Cancel, Job::Continuous).from(&[Status::Queued]);
    let steps = [US, Device(1, Starts), Device(1, Succeeds), Requeue(Later), US];
    breaks(&scene, Claim::OnlyTheDecided, &steps);
}

/// The reason why the shipped policy refuses force on such jobs: here the device is at work on what
/// is cancelled.
#[test]
fn residual_with_force_the_execution_that_comes_next_is_hit_while_it_runs() {
    let retries = [Device(1, Fails), Retry(Later), Device(2, Starts)];
    let continuous = [Device(1, Succeeds), Requeue(Later), Device(2, Starts)];
    for (job, between) in [(Job::Retries, retries), (Job::Continuous, continuous)] {
        let scene = Scene::of(Operation::ForcedCancel, job).from(&[Status::InProgress]);
        let steps = [[US].as_slice(), &between, &[US]].concat();
        breaks(&scene.permitted(), Claim::OnlyTheDecided, &steps);

        let scene = Scene::of(Operation::ForcedDelete, job).from(&[Status::InProgress]);
        let steps = [[US, US].as_slice(), &between, &[US]].concat();
        breaks(&scene.permitted(), Claim::OnlyTheDecided, &steps);
    }
}

#[test]
fn residual_a_second_deleter_and_a_number_that_comes_again_lead_a_cancel_astray() {
    let scene =
        Scene::of(Operation::Cancel, Job::Continuous).from(&[Status::Queued]).beside(SecondDeleter::Forces);
    let steps = [US, SOMEBODY_DELETES, Requeue(Later), US];
    breaks(&scene, Claim::OnlyTheDecided, &steps);
    // In the same second not even the identity tells them apart.
    let steps = [US, SOMEBODY_DELETES, Requeue(SameSecond), US, US];
    breaks(&scene, Claim::HitsAreTold, &steps);
}

#[test]
fn residual_a_second_deleter_and_a_number_that_comes_again_cost_a_result() {
    let scene =
        Scene::of(Operation::Delete, Job::Continuous).from(&[Status::Succeeded]).beside(SecondDeleter::Plain);
    let comes_again = [SOMEBODY_DELETES, Requeue(Later)];
    let reports = [Device(1, Starts), Device(1, Succeeds)];
    let steps = [[US, US].as_slice(), &comes_again, &reports, &[US]].concat();
    for claim in [Claim::ResultsAreArchived, Claim::OnlyTheDecided, Claim::HitsAreTold] {
        breaks(&scene, claim, &steps);
    }
    // Where AWS deletes QUEUED without force, what only waits is lost as well.
    let steps = [[US, US].as_slice(), &comes_again, &[US]].concat();
    breaks(&scene.with_queued_deleted(), Claim::DeletionsAreArchived, &steps);
}

/// Our own second delete is a second deleter too.
#[test]
fn residual_two_guarded_deletes_at_once_and_a_number_that_comes_again_cost_a_result() {
    let scene = Scene::of(Operation::Delete, Job::Continuous).from(&[Status::Succeeded]);
    let scene = scene.and(Operation::Delete, Turns::AtOnce).with_reads_answered();
    let them = Ours(1, Answered);
    let again = [Requeue(Later), Device(1, Starts), Device(1, Succeeds)];
    let steps = [[US, US, them, them, them].as_slice(), &again, &[US]].concat();
    breaks(&scene, Claim::ResultsAreArchived, &steps);
}

#[test]
fn residual_a_delete_that_lands_late_and_a_number_that_comes_again_cost_a_result() {
    let scene = Scene::of(Operation::Delete, Job::Continuous).from(&[Status::Succeeded]);
    let scene = scene.and(Operation::Delete, Turns::OneAfterTheOther).with_reads_answered();
    let them = Ours(1, Answered);
    let again = [Requeue(Later), Device(1, Starts), Device(1, Succeeds)];
    let ours = [[US, US, US_HELD_UP, US].as_slice(), &[them, them, them]].concat();
    let steps = [ours.as_slice(), &again, &[Lands(0)]].concat();
    breaks(&scene, Claim::ResultsAreArchived, &steps);
}

// The model and the code.

/// The code lives through the model's runs of these operations: at least so many, with every answer
/// that they can give.
async fn code_does_as_the_model(operations: [Operation; 2], at_least: usize, kinds_of_answers: usize) {
    let mut answers = Vec::new();
    for operation in operations {
        let mut scene = Scene::of(operation, Job::Continuous);
        (scene.executions, scene.progress) = (2, 0);
        // With force, the shipped policy refuses what is QUEUED on such a job.
        answers.extend(replay::act_out(&scene.clone().from(&[Status::Queued])).await);
        let scene = scene.permitted().from(&[Status::InProgress]);
        answers.extend(replay::act_out(&scene.beside(SecondDeleter::Forces)).await);
        let scene = Scene::of(operation, Job::Snapshot).beside(SecondDeleter::Forces);
        answers.extend(replay::act_out(&scene).await);
    }
    assert!(answers.len() >= at_least, "only {} runs", answers.len());
    let kinds: HashSet<_> = answers.into_iter().collect();
    assert_eq!(kinds.len(), kinds_of_answers, "not every answer was given: {kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn the_code_of_the_guarded_cancel_does_what_the_model_says() {
    code_does_as_the_model([Operation::Cancel, Operation::ForcedCancel], 2_500, 8).await;
}

#[tokio::test(start_paused = true)]
async fn the_code_of_the_guarded_delete_does_what_the_model_says() {
    code_does_as_the_model([Operation::Delete, Operation::ForcedDelete], 1_400, 6).await;
}
