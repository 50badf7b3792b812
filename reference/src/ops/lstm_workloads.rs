//! Sizes of recurrent layers.

use crate::Workload;

const DEEPBENCH: &str = "DeepBench";
const BENCHDNN: &str = "oneDNN benchdnn rnn inputs";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Of `lstm`. Inference unless the name says `train`.
pub static FORWARD: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("gnmt.enc0", "t=30,i=512,h=512,bias=both", BENCHDNN),
    w("pytorch_testcase", "t=50,i=500,h=500,bias=both", BENCHDNN),
    w("paddle_testcase", "t=629,i=128,h=128,bias=both", BENCHDNN),
    w("deepbench.lstm256_device", "t=150,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16", "t=25,n=16,i=512,h=512,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16_train", "t=25,n=16,i=512,h=512,bias=both,keep=yes", DEEPBENCH),
];

/// Of `lstm_backward`.
pub static BACKWARD: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("deepbench.lstm256_device", "t=150,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16", "t=25,n=16,i=512,h=512,bias=both", DEEPBENCH),
];
