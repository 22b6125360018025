//! What files that follow the catalog have come to, as metrics.
//!
//! Not here: the counting (the runner of templates, which this crate does not know).

use lobby_core::stats::TemplateCounts;

use super::text::{Kind::Counter, Kind::Gauge, Text};

pub(super) fn write(text: &mut Text, counts: &TemplateCounts) {
    text.family("lobby_templates", Gauge, "Templates in use.").value(counts.templates);
    text.family("lobby_templates_waiting", Gauge, "Those of them that wait for an answer.").value(counts.waiting);
    text.family("lobby_template_evaluations_total", Counter, "Evaluations of templates.").value(counts.evaluations);
    text.family("lobby_template_writes_total", Counter, "Files of templates that were put in place.").value(counts.writes);
    text.family("lobby_template_commands_total", Counter, "Commands of templates that were run.").value(counts.commands);
    text.family("lobby_template_failures_total", Counter, "Templates, their files, checks and commands that failed.")
        .value(counts.failures);
    text.family("lobby_template_roll_backs_total", Counter, "Files that were put back because their command failed.")
        .value(counts.roll_backs);
    text.family("lobby_template_delayed_total", Counter, "Renderings that waited because of the cap.").value(counts.delayed);
}
