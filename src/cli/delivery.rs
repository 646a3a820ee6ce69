//! `auditgate delivery`: shows and controls deliveries to other systems.

mod table;

use clap::ValueEnum;

use super::client::GatewayArgs;
use super::{Error, ExitKind, escape, interruptible, print, say, terminal};
use crate::client::Client;
use crate::json::{self, reflect};
use crate::proto::pb;
use crate::text::nearest_one;

/// Show and control deliveries to other systems
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: DeliveryCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeliveryCommand {
    /// List the deliveries
    #[command(after_help = "Examples:
  auditgate delivery list
  auditgate delivery list -o json

Exit status: 0 if all deliveries run; 1 if one does not, or has dead letters; 2 if the
gateway cannot be reached or refuses.")]
    List(ListArgs),
    /// Show one delivery in full
    #[command(after_help = "Examples:
  auditgate delivery show siem

Exit status: 0 if the delivery runs; 1 if it does not, or has dead letters; 2 if there is no such
delivery, or the gateway cannot be reached or refuses.")]
    Show(OneArgs),
    /// Stop sending until the delivery is resumed, also after a restart
    #[command(after_help = PAUSE_HELP)]
    Pause(OneArgs),
    /// Resume at once, at the cursor or at another record
    #[command(after_help = RESUME_HELP)]
    Resume(ResumeArgs),
    /// Send the dead letters again: the records that the destination refused
    #[command(after_help = REPLAY_HELP)]
    Replay(OneArgs),
    /// Skip all records up to a sequence
    #[command(after_help = SKIP_HELP)]
    Skip(SkipArgs),
}

const PAUSE_HELP: &str = "Examples:
  auditgate delivery pause siem

Exit status: 0 if it was done; 2 if there is no such delivery, it cannot do that now, or
the gateway cannot be reached or refuses.";
const RESUME_HELP: &str = "Examples:
  auditgate delivery resume siem
  auditgate delivery resume siem --from earliest
  auditgate delivery resume siem --from 120000

Exit status: 0 if it was done; 2 if there is no such delivery, it cannot do that now, or
the gateway cannot be reached or refuses.";
const REPLAY_HELP: &str = "Examples:
  auditgate delivery replay siem

Exit status: 0 if it was done; 2 if there is no such delivery, it cannot do that now, or
the gateway cannot be reached or refuses.";
const SKIP_HELP: &str = "Examples:
  auditgate delivery skip siem --to 120000

Exit status: 0 if it was done; 2 if there is no such delivery, it cannot do that now, or
the gateway cannot be reached or refuses.";

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = DeliveryFormat::Pretty)]
    output: DeliveryFormat,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// Name of the delivery
    name: String,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = DeliveryFormat::Pretty)]
    output: DeliveryFormat,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, clap::Args)]
struct ResumeArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Continue at this record: a sequence, earliest or latest
    #[arg(long, value_name = "SEQUENCE", value_parser = from)]
    from: Option<ResumeFrom>,
}

#[derive(Debug, clap::Args)]
struct SkipArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The last record that is skipped
    #[arg(long, value_name = "SEQUENCE")]
    to: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeliveryFormat {
    /// Table
    Pretty,
    /// JSON
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResumeFrom {
    Earliest,
    Latest,
    Sequence(u64),
}

fn from(text: &str) -> Result<ResumeFrom, String> {
    match text {
        "earliest" => Ok(ResumeFrom::Earliest),
        "latest" => Ok(ResumeFrom::Latest),
        number => number
            .parse()
            .map(ResumeFrom::Sequence)
            .map_err(|_| format!("{text:?} is not a sequence, earliest or latest")),
    }
}

/// The width of output that does not go to a terminal, in columns.
const WIDTH: usize = 200;

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    interruptible(async {
        match args.command {
            DeliveryCommand::List(args) => list(args).await,
            DeliveryCommand::Show(args) => show(args).await,
            DeliveryCommand::Pause(args) => {
                control(args, pb::DeliveryAction::Pause, None, "paused").await
            }
            DeliveryCommand::Resume(ResumeArgs { one, from }) => {
                control(one, pb::DeliveryAction::Resume, from, "resumed").await
            }
            DeliveryCommand::Replay(args) => {
                let action = pb::DeliveryAction::Replay;
                control(args, action, None, "sends its dead letters again").await
            }
            DeliveryCommand::Skip(SkipArgs { one, to }) => {
                let done = format!("skips the records up to {to}");
                let to = Some(ResumeFrom::Sequence(to));
                control(one, pb::DeliveryAction::Skip, to, &done).await
            }
        }
    })
    .await
}

/// Resolves the argument to a sequence.
async fn first(client: &Client, from: ResumeFrom) -> Result<u64, Error> {
    Ok(match from {
        ResumeFrom::Sequence(sequence) => sequence,
        ResumeFrom::Earliest => client.get_status().await?.first_sequence,
        ResumeFrom::Latest => client.get_status().await?.last_sequence + 1,
    })
}

async fn list(args: ListArgs) -> Result<ExitKind, Error> {
    let deliveries = args.server.client().await?.list_deliveries().await?;
    let kind = exit_kind(&deliveries);
    let text = match args.output {
        DeliveryFormat::Json => {
            let response = pb::ListDeliveriesResponse { deliveries };
            format!(
                "{}\n",
                escape::json(&json::indented(&reflect("ListDeliveriesResponse", &response)))
            )
        }
        DeliveryFormat::Pretty if deliveries.is_empty() => {
            say("the gateway has no deliveries: [[delivery]] in its configuration makes one");
            String::new()
        }
        DeliveryFormat::Pretty => table::list(&deliveries, terminal::width().unwrap_or(WIDTH)),
    };
    print(&text)?;
    Ok(kind)
}

async fn show(args: OneArgs) -> Result<ExitKind, Error> {
    let deliveries = args.server.client().await?.list_deliveries().await?;
    let Some(found) = deliveries.iter().find(|own| own.name == args.name) else {
        let names = deliveries.iter().map(|own| own.name.as_str());
        let near = nearest_one(&args.name, names);
        let near = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        return Err(Error::Usage(format!("there is no delivery {:?}{near}", args.name)));
    };
    print(&text(found, args.output))?;
    Ok(exit_kind(std::slice::from_ref(found)))
}

async fn control(
    args: OneArgs,
    action: pb::DeliveryAction,
    from: Option<ResumeFrom>,
    done: &str,
) -> Result<ExitKind, Error> {
    let client = args.server.client().await?;
    let sequence = match from {
        Some(from) => Some(first(&client, from).await?),
        None => None,
    };
    let request =
        pb::ControlDeliveryRequest { name: args.name.clone(), action: action.into(), sequence };
    let delivery = client.control_delivery(&request).await?;
    match args.output {
        DeliveryFormat::Pretty => say(&format!("delivery {}: {done}", args.name)),
        DeliveryFormat::Json => {
            print(&text(&delivery, args.output))?;
        }
    }
    Ok(ExitKind::All)
}

fn text(delivery: &pb::Delivery, format: DeliveryFormat) -> String {
    match format {
        DeliveryFormat::Pretty => table::show(delivery),
        DeliveryFormat::Json => {
            format!("{}\n", escape::json(&json::indented(&reflect("Delivery", delivery))))
        }
    }
}

fn exit_kind(deliveries: &[pb::Delivery]) -> ExitKind {
    let runs = |one: &pb::Delivery| {
        matches!(one.state(), pb::DeliveryState::Running | pb::DeliveryState::Elsewhere)
    };
    let is_well = |one: &pb::Delivery| runs(one) && one.dead_letters == 0;
    if deliveries.iter().all(is_well) { ExitKind::All } else { ExitKind::Some }
}
