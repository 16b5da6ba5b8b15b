//! The reviewer's commands: differences and forecasts. Leaves out comparing and looking ahead.

use std::io::IsTerminal;

use crate::base::ErrorKind;
use crate::cli::args::{Cli, Format, RunOptions as RunArgs};
use crate::cli::output::Output;
use crate::cli::running::{context, options, params};
use crate::ops::{self, DiffFormat, DiffRequest, Error, Locations, Workspace};

/// The exit status of `diff --exit-code` where something changed.
const CHANGED: u8 = 5;
/// The same where something privileged did.
const PRIVILEGED: u8 = 6;

/// Compares two states and prints the difference.
pub(super) fn diff(
    locations: &Locations,
    request: &DiffRequest,
    format: Option<Format>,
    exit_code: bool,
    full: bool,
    output: &Output,
) -> Result<u8, Error> {
    let format = match format {
        None | Some(Format::Human) => DiffFormat::Human,
        Some(Format::Json) => DiffFormat::Json,
        Some(Format::Markdown) => DiffFormat::Markdown,
        Some(Format::Sarif) => DiffFormat::Sarif,
        Some(Format::Dot | Format::Mermaid) => {
            return Err(Error::usage("a difference is written as human, json, markdown or sarif"));
        }
    };
    let review = match ops::compare(locations, request)? {
        Ok(review) => review,
        Err(errors) => {
            output.note(&format!("the specs of {} do not compile:", errors.side));
            output.diagnostics(&errors.diagnostics, &errors.sources);
            return Ok(ErrorKind::Spec.exit_status());
        }
    };
    // Colour is asked for on standard error; data goes to standard output.
    let color = output.color && std::io::stdout().is_terminal();
    output.data(&ops::write_diff(&review, format, full, color));
    Ok(match (exit_code, review.is_empty(), review.privileged()) {
        (true, false, 0) => CHANGED,
        (true, false, _) => PRIVILEGED,
        _ => 0,
    })
}

/// Tells what a run would do.
pub(super) fn forecast(
    cli: &Cli,
    locations: &Locations,
    workspace: &mut Workspace,
    targets: &[String],
    refresh: &[String],
    output: &Output,
) -> Result<u8, Error> {
    let args = RunArgs { refresh: refresh.to_vec(), ..RunArgs::default() };
    let context = context(cli, locations, output)?;
    let forecast = ops::forecast(workspace, targets, &params(cli)?, &options(cli, &args, false)?, &context)?;
    if output.json {
        output.data(&format!("{}\n", ops::forecast_json(&forecast)));
    } else {
        output.data(&ops::forecast_text(&forecast));
    }
    Ok(0)
}
