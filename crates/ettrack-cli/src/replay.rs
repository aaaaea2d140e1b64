//! `ettrack replay`: runs a bag through the node, without ROS.

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgGroup, Args};
use ettrack::geometry::BoundingBox;
use ettrack_bag::BagError;
use ettrack_node::overrides::Overrides;
use ettrack_node::parameters::Parameters;
use ettrack_node::replay::{ReplayError, ReplayOptions, Start, replay};
use ettrack_node::{Clock, NodeCore, open_tracker};

use crate::console::BadInput;
use crate::engine_args::EngineArgs;
use crate::interrupt;
use crate::progress;
use crate::roi::parse_roi;
use crate::tracker_args::tell;

/// Write the bag that the ROS 2 node would have published: every image of BAG is answered.
///
/// The written bag (mcap) holds /tracked_target, /detections and /diagnostics. The target is given by --roi in the
/// first image, or by the messages of a topic of the bag. A camera_info topic beside the images gives directions.
/// The same bag and model give the same bytes. If it is interrupted, nothing is written (exit code 1).
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["roi", "roi_topic"])))]
pub struct ReplayArgs {
    /// The bag: a folder or a file, sqlite3 or mcap.
    bag: PathBuf,
    /// The target in the first image: upper-left corner and size in pixels.
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_roi, allow_hyphen_values = true)]
    roi: Option<BoundingBox>,
    /// Topic that gives targets: sensor_msgs/msg/RegionOfInterest, vision_msgs/msg/Detection2D or
    /// geometry_msgs/msg/PointStamped.
    #[arg(long, value_name = "TOPIC")]
    roi_topic: Option<String>,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    image_topic: Option<String>,
    /// The bag to write: a folder that does not exist yet.
    #[arg(long, value_name = "BAG")]
    output: PathBuf,
    /// Also write the images with the box drawn, on /tracker/overlay.
    #[arg(long)]
    overlay: bool,
    /// The node's parameters, as config/tracker.yaml.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Model folder, instead of the parameters' model_path.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Threads of the network, instead of the parameters' num_threads.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=64))]
    threads: Option<u16>,
    /// Scale of the widest search region, instead of the parameters' search_scale.
    #[arg(long, value_name = "X")]
    search_scale: Option<f64>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// The node's name in a replay, for parameter files and diagnostics.
const NODE_NAME: &str = "tracker";

impl ReplayArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let parameters = self.parameters()?;
        let start = match (self.roi, &self.roi_topic) {
            (Some(roi), _) => Start::Box(roi),
            (None, Some(topic)) => Start::Topic(topic.clone()),
            (None, None) => anyhow::bail!(BadInput("expected --roi or --roi-topic".into())),
        };
        let options = ReplayOptions {
            input: self.bag.clone(),
            image_topic: self.image_topic.clone(),
            start,
            output: self.output.clone(),
            overlay: self.overlay,
        };
        interrupt::watch()?;
        let bar = progress::bar(None);
        let summary = replay(
            &options,
            |clock| self.make_core(parameters, clock),
            |done, total| {
                if done == 1
                    && let Some(total) = total
                {
                    bar.set_length(total);
                }
                bar.set_position(done);
                interrupt::go_on()
            },
        )
        .map_err(whose_error)?;
        bar.finish_and_clear();
        eprintln!(
            "{} images: tracking in {}, lost in {}, idle in {}, not usable {}; written to {}",
            summary.images,
            summary.tracking,
            summary.lost,
            summary.idle,
            summary.bad,
            self.output.display()
        );
        Ok(())
    }

    fn parameters(&self) -> anyhow::Result<Parameters> {
        let mut parameters = Parameters::default();
        if let Some(path) = &self.params {
            let text = std::fs::read_to_string(path)
                .with_context(|| BadInput(format!("cannot read {}", path.display())))?;
            let applied = Overrides::from_text(&text)
                .and_then(|overrides| overrides.apply(&mut parameters, &format!("/{NODE_NAME}")))
                .with_context(|| BadInput(path.display().to_string()))?;
            for warning in applied.warnings {
                tracing::warn!("{}: {warning}", path.display());
            }
        }
        if let Some(model) = &self.model {
            parameters.model_path = model.to_string_lossy().into_owned();
        }
        self.engine.apply_to(&mut parameters);
        if let Some(threads) = self.threads {
            parameters.num_threads = threads.into();
        }
        if let Some(search_scale) = self.search_scale {
            parameters.search_scale = search_scale;
        }
        Ok(parameters)
    }

    fn make_core(
        &self,
        parameters: Parameters,
        clock: &dyn Clock,
    ) -> Result<NodeCore, anyhow::Error> {
        let (tracker, model) = open_tracker(&parameters).map_err(|error| BadInput::of(&error))?;
        tell(&tracker);
        NodeCore::new(NODE_NAME, parameters, Box::new(tracker), model, clock)
            .map_err(|error| BadInput::of(&error).into())
    }
}

/// Every error but a failure to write is bad input: not a bag, a missing topic, an output that exists.
fn whose_error(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ReplayError>() {
        None => error,
        Some(ReplayError::Stopped { .. }) => error,
        Some(ReplayError::Output(reason)) if !matches!(reason, BagError::Exists { .. }) => error,
        Some(reason) => BadInput::of(reason).into(),
    }
}
