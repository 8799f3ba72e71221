//! The conformance suite: what the operator relies on AWS for, as test bodies that run against the
//! fake AWS (`FakeArm`) and, through the operator's real adapters, against the sandbox. A body that
//! passes in both arms shows that the fake is not kinder than the sandbox.
//!
//! A body uses only the traits of the operator's `aws` module and the [`Arm`]. It compares whole
//! values: descriptions, errors with their code and message, and states in their order.
//! `tests/conformance` makes two tests of each body.

// Bodies are tests, though they are compiled as a library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod arm;
mod called_methods;
mod dashboards_and_metrics;
mod fake_arm;
mod faults;
mod fixtures;
mod identity;
mod logs;
mod parameters;
mod scaling;
mod services;
mod streams;
mod task_definitions;
mod tasks;
mod waiting;

use std::pin::Pin;

pub use arm::{ACCOUNT, Arm, IMAGE, InjectedError, OTHER_REGION, REGION, TASK_CAPACITY};
pub use called_methods::{CalledMethods, METHODS};
pub use fake_arm::FakeArm;

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A test body. It panics if the arm does not conform.
pub struct Body {
    /// The topic and the name, as in `streams::regions_have_separate_streams`.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn Arm) -> Running<'a>,
}

impl Body {
    /// The body with this name.
    pub fn named(name: &str) -> &'static Self {
        BODIES.iter().find(|body| body.name == name).expect("the list contains every body")
    }

    /// Runs it in an arm that no other body has used.
    pub async fn run(&self, arm: &dyn Arm) {
        (self.run)(arm).await;
    }
}

/// Calls the macro `$callback` with the names of all bodies, by topic. A body that is not listed is
/// dead code, which the compiler reports.
#[macro_export]
macro_rules! for_each_conformance_body {
    ($callback:ident) => {
        $callback! {
            identity {
                the_account_is_that_of_the_credentials,
            }
            faults {
                an_error_response_is_passed_on_whole,
                an_error_is_read_in_every_protocol,
                a_call_whose_response_is_lost_was_performed,
            }
            streams {
                a_stream_goes_from_creating_to_active_to_deleted,
                a_stream_exists_once_until_it_is_deleted,
                only_an_active_stream_can_be_changed,
                a_missing_stream_is_not_found,
                advantage_is_off_then_on_then_ending,
                warm_throughput_needs_advantage,
                warm_throughput_rises_and_falls_while_updating,
                a_stream_created_warm_has_its_throughput_when_active,
                warm_throughput_is_limited_by_region,
                at_most_five_streams_are_creating,
                an_account_has_at_most_fifty_streams,
                stream_names_and_tags_follow_the_rules,
                regions_have_separate_streams,
            }
            task_definitions {
                the_latest_active_revision_is_described,
                deregistering_twice_is_accepted,
                only_a_deregistered_revision_can_be_deleted,
                revision_numbers_are_not_used_again,
                a_missing_revision_is_not_found,
                sizes_timeouts_and_families_follow_the_rules,
            }
            services {
                clusters_are_active_or_missing,
                a_service_is_created_without_tasks,
                a_repeated_creation_needs_the_same_request_and_token,
                a_creation_is_checked,
                only_an_active_service_can_be_resized,
                a_deleted_service_becomes_inactive_and_is_forgotten,
            }
            tasks {
                a_missing_service_has_no_tasks,
                a_task_starts_and_is_counted,
                a_scaled_in_task_stops_and_is_forgotten,
                a_task_stopped_before_its_start_has_no_exit_code,
                a_killed_task_is_replaced,
                a_task_without_its_log_group_fails_to_start,
                tasks_beyond_the_quota_are_not_placed,
                a_protected_task_is_not_scaled_in,
                protection_expires,
                protection_is_checked,
                a_service_drains_until_its_tasks_have_stopped,
            }
            scaling {
                a_service_is_seen_some_time_after_its_creation,
                the_latest_target_and_action_count,
                an_action_in_the_past_is_refused,
                a_target_keeps_the_service_within_its_bounds,
                the_action_scales_the_service_to_zero,
                a_deleted_action_can_be_deleted_again,
            }
            parameters {
                a_parameter_is_created_read_and_deleted,
                an_existing_parameter_is_not_created_again,
                an_overwrite_keeps_the_tags,
                tags_are_added_and_replaced,
                a_missing_parameter_is_not_found,
                values_have_between_1_and_4096_bytes,
            }
            logs {
                a_log_group_is_created_described_and_deleted,
                a_log_group_is_found_by_its_whole_name,
                a_log_group_exists_once,
                a_missing_log_group_is_not_found,
                retention_names_and_tags_follow_the_rules,
                a_tasks_lines_can_be_read_after_a_delay,
            }
            dashboards_and_metrics {
                a_dashboard_belongs_to_the_account,
                a_missing_dashboard_is_not_found,
                dashboard_names_and_bodies_follow_the_rules,
                metrics_are_kept_by_run_and_minute,
                metrics_are_recent_and_not_empty,
            }
        }
    };
}

macro_rules! list {
    ($($topic:ident { $($body:ident,)+ })+) => {
        /// All bodies.
        pub const BODIES: &[Body] = &[$($(Body {
            name: concat!(stringify!($topic), "::", stringify!($body)),
            run: |arm| Box::pin($topic::$body(arm)),
        },)+)+];
    };
}

for_each_conformance_body!(list);
