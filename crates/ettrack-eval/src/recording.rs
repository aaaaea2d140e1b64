//! Scores what a node published: the answers in a recorded bag are matched with the true boxes of the images by their
//! stamps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dataset::text::{ResultRows, parse_results, to_box};
use super::dataset::{DatasetError, SIMULATED, Sequence};
use super::metrics::{MetricError, Scores, frame_errors};
use ettrack::geometry::BoundingBox;
use ettrack_bag::image_topic;
use ettrack_bag::{Bag, BagError};
use ettrack_message::{
    CdrError, Detection2DArray, FromCdr, Message, Stamp, TargetState, TrackedTarget,
};

/// The source of the true boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// A topic of `vision_msgs/msg/Detection2DArray` with the images' stamps. The first element is the target; an empty
    /// array means that the target is not visible.
    Topic {
        /// The topic.
        topic: String,
        /// The topic of the images, for answers that are rows; `None` if the bag has only one.
        image_topic: Option<String>,
    },
    /// A text file with one line `x,y,width,height` per image of the bag. (0, 0) is the upper-left corner of the upper-left
    /// pixel. `NaN` or a box without area means that the target is not visible.
    File {
        /// The file.
        path: PathBuf,
        /// The topic of the images; `None` if the bag has only one.
        image_topic: Option<String>,
    },
}

/// The score of a recording.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct RecordingScore {
    /// Images with a true box or marked as without target, from the image on in which the target was chosen.
    pub images: usize,
    /// Of those, images with an answer. The node skipped the others; they are scored with the answer before them, which is
    /// what a subscriber had at that time.
    pub answered: usize,
    /// Images whose answer was the state LOST.
    pub lost: usize,
    /// The measures of one-pass evaluation. Images without the target do not count.
    pub scores: Scores,
}

/// Why a recording cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A bag cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// The file of true boxes cannot be read.
    #[error(transparent)]
    File(#[from] DatasetError),
    /// A topic has another type.
    #[error("topic {topic:?} is of type {got}, expected {expected}")]
    Type {
        /// The topic.
        topic: String,
        /// Its type.
        got: String,
        /// The type it should have.
        expected: &'static str,
    },
    /// A message is malformed.
    #[error("a message on {topic:?} is malformed")]
    Message {
        /// Its topic.
        topic: String,
        /// The reason.
        source: CdrError,
    },
    /// The file of true boxes does not have one line per image.
    #[error(
        "{path} holds {got} boxes, expected one for each of the {expected} images of {topic:?}"
    )]
    Length {
        /// The file of true boxes.
        path: PathBuf,
        /// Number of its lines.
        got: usize,
        /// The topic of the images.
        topic: String,
        /// The number of images.
        expected: usize,
    },
    /// Several images have the same stamp.
    #[error(
        "{images} images on {topic:?} have {stamps} different stamps; expected a different one for each, because answers are \
         matched with the truth by stamp"
    )]
    EqualStamps {
        /// The topic of the images or of their truth.
        topic: String,
        /// Number of images.
        images: usize,
        /// Number of different stamps.
        stamps: usize,
    },
    /// No answer has the stamp of an image with truth.
    #[error(
        "none of the {answers} answers on {topic:?} has the stamp of one of the {images} images with truth and follows a target"
    )]
    NothingInCommon {
        /// The topic of the answers.
        topic: String,
        /// Number of answers.
        answers: usize,
        /// Number of images with truth.
        images: usize,
    },
    /// The boxes cannot be scored.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Scores the answers on the topic `answer_topic` of the bag `answers`, or the rows in the file `answers` that `ettrack track`
/// wrote, with the true boxes of the images in the bag `played`.
///
/// # Errors
/// [`RecordingError`] if a bag or the truth cannot be read, or answers and truth have no image in common.
pub fn score_recording(
    answers: &Path,
    answer_topic: &str,
    played: &Path,
    truth: &Truth,
) -> Result<RecordingScore, RecordingError> {
    if !Bag::looks_like_one(answers) && answers.is_file() {
        return score_rows(answers, played, truth);
    }
    let truth = read_truth(played, truth)?;
    let mut given = BTreeMap::new();
    read(answers, answer_topic, TrackedTarget::TYPE, |bytes| {
        let target = TrackedTarget::from_cdr(bytes)?;
        if target.state != TargetState::Idle {
            // The last answer to an image counts. An image is answered again when the target is chosen in it.
            given.insert(
                target.header.stamp,
                (BoundingBox::from(target.bounding_box), target.state),
            );
        }
        Ok(())
    })?;
    score_answers(&given, &truth).ok_or_else(|| RecordingError::NothingInCommon {
        topic: answer_topic.to_owned(),
        answers: given.len(),
        images: truth.len(),
    })?
}

/// Scores the rows that `ettrack track` wrote of the bag `played`, one per image.
fn score_rows(
    answers: &Path,
    played: &Path,
    truth: &Truth,
) -> Result<RecordingScore, RecordingError> {
    let wanted = match truth {
        Truth::File { image_topic, .. } | Truth::Topic { image_topic, .. } => {
            image_topic.as_deref()
        }
    };
    let (topic, stamps) = read_stamps(played, wanted)?;
    let ResultRows { rows, lost, .. } = parse_results(answers)?;
    let lost = lost.unwrap_or_else(|| vec![false; rows.len()]);
    if rows.len() > stamps.len() {
        return Err(RecordingError::Length {
            path: answers.to_owned(),
            got: rows.len(),
            topic,
            expected: stamps.len(),
        });
    }
    let truth = read_truth(played, truth)?;
    let to_answer = |([x, y, width, height], is_lost): ([f64; 4], bool)| {
        let state = if is_lost {
            TargetState::Lost
        } else {
            TargetState::Tracking
        };
        (BoundingBox::new(x, y, width, height), state)
    };
    let given: Answers = stamps
        .into_iter()
        .zip(rows.into_iter().zip(lost).map(to_answer))
        .collect();
    score_answers(&given, &truth).ok_or_else(|| RecordingError::NothingInCommon {
        topic: answers.display().to_string(),
        answers: given.len(),
        images: truth.len(),
    })?
}

/// The topic of the images of a bag, and their stamps in order.
fn read_stamps(
    played: &Path,
    wanted: Option<&str>,
) -> Result<(String, Vec<Stamp>), RecordingError> {
    let (topic, transport) = image_topic(&Bag::open(played)?, played, wanted)?;
    let mut stamps = Vec::new();
    read(played, &topic, transport.type_name(), |bytes| {
        stamps.push(transport.header(bytes)?.stamp);
        Ok(())
    })?;
    Ok((topic, stamps))
}

type Answers = BTreeMap<Stamp, (BoundingBox, TargetState)>;
type TrueBoxes = BTreeMap<Stamp, Option<BoundingBox>>;

/// `None` if no answer has the stamp of an image with truth.
fn score_answers(
    given: &Answers,
    truth: &TrueBoxes,
) -> Option<Result<RecordingScore, RecordingError>> {
    let first = given.keys().find(|stamp| truth.contains_key(stamp))?;
    let images: Vec<(&Stamp, &Option<BoundingBox>)> = truth.range(*first..).collect();
    let answered = images
        .iter()
        .filter(|(stamp, _)| given.contains_key(stamp))
        .count();
    let lost = images
        .iter()
        .filter_map(|(stamp, _)| given.get(stamp))
        .filter(|(_, state)| *state == TargetState::Lost)
        .count();
    let boxes: Vec<BoundingBox> = images
        .iter()
        .filter_map(|(stamp, _)| given.range(..=**stamp).next_back())
        .map(|(_, (bounding_box, _))| *bounding_box)
        .collect();
    let sequence = Sequence {
        name: String::new(),
        frames: Vec::new(),
        first_box: boxes.first().copied()?,
        truth: Some(images.iter().map(|(_, given)| **given).collect()),
        visible: None,
        length: images.len(),
    };
    Some(
        frame_errors(&SIMULATED.protocol, &boxes, &sequence, None)
            .map(|errors| RecordingScore {
                images: images.len(),
                answered,
                lost,
                scores: Scores::of(&errors),
            })
            .map_err(RecordingError::Metric),
    )
}

fn read_truth(played: &Path, truth: &Truth) -> Result<TrueBoxes, RecordingError> {
    let mut boxes = Vec::new();
    let topic = match truth {
        Truth::Topic { topic, .. } => {
            read(played, topic, Detection2DArray::TYPE, |bytes| {
                let array = Detection2DArray::from_cdr(bytes)?;
                let target = array.detections.first().map(|found| found.bbox.into());
                boxes.push((array.header.stamp, target));
                Ok(())
            })?;
            topic.clone()
        }
        Truth::File {
            path,
            image_topic: wanted,
        } => {
            let (topic, stamps) = read_stamps(played, wanted.as_deref())?;
            let rows = parse_results(path)?.rows;
            if rows.len() != stamps.len() {
                return Err(RecordingError::Length {
                    path: path.clone(),
                    got: rows.len(),
                    topic,
                    expected: stamps.len(),
                });
            }
            let rows = rows.into_iter().map(|row| to_box(row, 0.0));
            boxes.extend(stamps.into_iter().zip(rows));
            topic
        }
    };
    by_stamp(topic, boxes)
}

/// # Errors
/// [`RecordingError::EqualStamps`]
fn by_stamp(
    topic: String,
    boxes: Vec<(Stamp, Option<BoundingBox>)>,
) -> Result<TrueBoxes, RecordingError> {
    let images = boxes.len();
    let by_stamp: TrueBoxes = boxes.into_iter().collect();
    if by_stamp.len() < images {
        return Err(RecordingError::EqualStamps {
            topic,
            images,
            stamps: by_stamp.len(),
        });
    }
    Ok(by_stamp)
}

/// Calls `each` with every message of a topic.
fn read(
    path: &Path,
    topic: &str,
    expected: &'static str,
    mut each: impl FnMut(&[u8]) -> Result<(), CdrError>,
) -> Result<(), RecordingError> {
    let bag = Bag::open(path)?;
    let got = &bag.topic(topic)?.type_name;
    if got != expected {
        return Err(RecordingError::Type {
            topic: topic.to_owned(),
            got: got.clone(),
            expected,
        });
    }
    let mut messages = bag.messages(&[topic])?;
    while let Some(message) = messages.next_message() {
        each(message.data).map_err(|source| RecordingError::Message {
            topic: topic.to_owned(),
            source,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(frame: i32) -> Stamp {
        Stamp {
            sec: frame,
            nanosec: 0,
        }
    }

    #[test]
    fn refuses_images_with_the_same_stamp() {
        let boxes = |stamps: [i32; 3]| {
            let boxes = stamps.map(|frame| (stamp(frame), None));
            by_stamp("/image".to_owned(), boxes.to_vec())
        };
        assert_eq!(boxes([0, 1, 2]).expect("they differ").len(), 3);
        let refused = boxes([0, 0, 2]).expect_err("two are equal").to_string();
        assert!(
            refused.contains("3 images on \"/image\" have 2 different stamps"),
            "{refused}"
        );
    }

    #[test]
    fn scores_skipped_images_with_the_answer_before_them() {
        // The target moves 10 pixels an image and is 10 wide: the box of one image before misses it.
        let at = |frame: i32| BoundingBox::new(f64::from(frame) * 10.0, 0.0, 10.0, 10.0);
        let truth: TrueBoxes = (0..6)
            .map(|frame| (stamp(frame), (frame != 5).then(|| at(frame))))
            .collect();
        let answer = |frame: i32| (stamp(frame), (at(frame), TargetState::Tracking));
        let mut given: Answers = [1, 2, 4].map(answer).into();
        given.insert(stamp(5), (at(5), TargetState::Lost));
        given.insert(stamp(77), (at(7), TargetState::Tracking));
        let score = score_answers(&given, &truth).unwrap().unwrap();
        assert_eq!((score.images, score.answered, score.lost), (5, 4, 1));
        // Images 1 to 4 show the target; image 3 was skipped.
        assert!((score.scores.ao - 0.75).abs() < 1e-12, "{score:?}");
        assert!((score.scores.sr_50 - 0.75).abs() < 1e-12, "{score:?}");
        assert!(score_answers(&Answers::new(), &truth).is_none());
        assert!(score_answers(&[answer(9)].into(), &truth).is_none());
    }
}
