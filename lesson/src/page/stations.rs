//! The nine chapters, in order.

/// A chapter on the page.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// Name of the example that runs it.
    pub binary: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its question, in one sentence.
    pub question: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

/// The nine chapters, in order.
pub const STATIONS: [Station; 9] = [
    Station {
        binary: "ch0_why_transfer",
        title: "Why transfer learning?",
        question: "What are pretrained weights worth when labelled images are few?",
        text: include_str!("text/ch0.md"),
    },
    Station {
        binary: "ch1_feature_hierarchy",
        title: "From general to specific",
        question: "Do deeper features depend more on the training classes?",
        text: include_str!("text/ch1.md"),
    },
    Station {
        binary: "ch2_feature_extraction",
        title: "Feature extraction",
        question: "What does a linear head gain on frozen features instead of pixels?",
        text: include_str!("text/ch2.md"),
    },
    Station {
        binary: "ch3_fine_tuning",
        title: "Fine-tuning",
        question: "How much should train, and what does too large a rate destroy?",
        text: include_str!("text/ch3.md"),
    },
    Station {
        binary: "ch4_freezing",
        title: "How much to freeze",
        question: "Do the number of images and the kind of task decide how much to freeze?",
        text: include_str!("text/ch4.md"),
    },
    Station {
        binary: "ch5_learning_rates",
        title: "Learning rates",
        question: "Should all layers have the same learning rate?",
        text: include_str!("text/ch5.md"),
    },
    Station {
        binary: "ch6_augmentation",
        title: "Augmentation",
        question: "When does augmentation help, and when does it hurt?",
        text: include_str!("text/ch6.md"),
    },
    Station {
        binary: "ch7_sweet_spot",
        title: "The sweet spot",
        question: "Is a partial freeze as good as training everything, at a lower cost?",
        text: include_str!("text/ch7.md"),
    },
    Station {
        binary: "ch8_beyond",
        title: "Beyond",
        question: "When is training from scratch justified, and what do many tasks cost to store?",
        text: include_str!("text/ch8.md"),
    },
];
