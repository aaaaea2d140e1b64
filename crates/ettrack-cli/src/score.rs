//! `ettrack score`: the accuracy of a node's recorded answers.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use ettrack_eval::recording::{Truth, score_recording};

use crate::console::{BadInput, stdout};

/// Measure the accuracy of a recorded node: the answers in ANSWERS against the truth for the images of another bag.
///
/// Answers and images are matched by their stamps. Images count from the one in which the target was chosen. An image
/// without an answer is scored by the answer before it, because a follower would have used that one. Prints the number of
/// images, the number of answers, and the measures of one-pass evaluation.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("true boxes").required(true).args(["truth_topic", "truth"])))]
pub struct ScoreArgs {
    /// The bag with the node's answers, written by `ros2 bag record` or `ettrack replay`, or a file with one box per image of
    /// the played bag, written by `ettrack track`.
    answers: PathBuf,
    /// The bag that was played.
    #[arg(long, value_name = "BAG")]
    bag: PathBuf,
    /// Topic of vision_msgs/msg/Detection2DArray with the true boxes. An empty array says that the target is out of sight.
    #[arg(long, value_name = "TOPIC")]
    truth_topic: Option<String>,
    /// Text file with x,y,width,height of the target in each image of the bag; NaN if it is out of sight. (0, 0) is the upper-left
    /// corner of the upper-left pixel. Files of OTB and of `ettrack simulate` count from 1.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    image_topic: Option<String>,
    /// Topic of the answers.
    #[arg(long, value_name = "TOPIC", default_value = "/tracked_target")]
    topic: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ScoreArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let truth = match (self.truth_topic, self.truth) {
            (Some(topic), _) => Truth::Topic {
                topic,
                image_topic: self.image_topic,
            },
            (None, Some(path)) => Truth::File {
                path,
                image_topic: self.image_topic,
            },
            (None, None) => {
                anyhow::bail!(BadInput("expected --truth or --truth-topic".into()));
            }
        };
        let score = score_recording(&self.answers, &self.topic, &self.bag, &truth)
            .map_err(|error| BadInput::of(&error))?;
        let mut out = stdout();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&score)?)?;
        } else {
            let scores = score.scores;
            writeln!(
                out,
                "images {}  answered {}  lost {}\nsuccess AUC {:.3}  precision 20 px {:.3}  normalised precision 0.2 {:.3}  \
                 SR 0.5 {:.3}  SR 0.75 {:.3}  AO {:.3}",
                score.images,
                score.answered,
                score.lost,
                scores.success_auc,
                scores.precision_20,
                scores.normalized_precision_20,
                scores.sr_50,
                scores.sr_75,
                scores.ao,
            )?;
        }
        out.flush()?;
        Ok(())
    }
}
