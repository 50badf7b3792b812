//! Sizes of recurrent layers. Forward passes are inference unless the name says `train`. DeepBench's inputs are as large
//! as its layers.

use crate::Workload;

const DEEPBENCH: &str = "DeepBench";
const BENCHDNN: &str = "oneDNN benchdnn rnn inputs";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Of `lstm`.
pub static LSTM: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("gnmt.enc0", "t=30,i=512,h=512,bias=both", BENCHDNN),
    w("gnmt.enc", "t=30,i=1024,h=1024,bias=both", BENCHDNN),
    w("gnmt.dec", "i=2048,h=1024,bias=both,state=given", BENCHDNN),
    w("pytorch_testcase", "t=50,i=500,h=500,bias=both", BENCHDNN),
    w("pytorch_testcase_train", "t=50,n=64,i=500,h=500,bias=both,keep=yes", BENCHDNN),
    w("paddle_testcase", "t=629,i=128,h=128,bias=both", BENCHDNN),
    w("rnn_t.prediction", "n=896,i=320,h=320,bias=both", BENCHDNN),
    w("deepbench.lstm256_device", "t=150,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm256_n4", "t=150,n=4,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm256_n16", "t=150,n=16,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16", "t=25,n=16,i=512,h=512,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n32", "t=25,n=32,i=512,h=512,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n128", "t=25,n=128,i=512,h=512,bias=both", DEEPBENCH),
    w("deepbench.lstm1024_n16", "t=25,n=16,i=1024,h=1024,bias=both", DEEPBENCH),
    w("deepbench.lstm1024_n64", "t=25,n=64,i=1024,h=1024,bias=both", DEEPBENCH),
    w("deepbench.lstm1536_n8", "t=50,n=8,i=1536,h=1536,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16_train", "t=25,n=16,i=512,h=512,bias=both,keep=yes", DEEPBENCH),
    w("deepbench.lstm512_n32_train", "t=25,n=32,i=512,h=512,bias=both,keep=yes", DEEPBENCH),
    w("reverse.lstm512_n16", "t=25,n=16,i=512,h=512,bias=both,dir=reverse", "the other direction of lstm512"),
    w("packed.lstm512_n32", "t=25,n=32,i=512,h=512,bias=both,lengths=given", "lstm512 over sequences of 0 to 25 steps"),
    w("decode.lstm256", "i=256,h=256,bias=both,state=given", "one step"),
    w("decode.lstm1024", "i=1024,h=1024,bias=both,state=given", "one step"),
];

/// Of `lstm_backward`.
pub static LSTM_BACKWARD: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("pytorch_testcase", "t=50,n=64,i=500,h=500,bias=both", BENCHDNN),
    w("deepbench.lstm256_device", "t=150,i=256,h=256,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n16", "t=25,n=16,i=512,h=512,bias=both", DEEPBENCH),
    w("deepbench.lstm512_n32", "t=25,n=32,i=512,h=512,bias=both", DEEPBENCH),
];

/// Of `gru`.
pub static GRU: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("deepspeech2", "t=50,i=1760,h=1760,bias=both", BENCHDNN),
    w("deepbench.gru512_n1", "i=512,h=512,bias=both,state=given", DEEPBENCH),
    w("deepbench.gru512_n32", "n=32,i=512,h=512,bias=both,state=given", DEEPBENCH),
    w("gru512", "t=25,i=512,h=512,bias=both", "the layer of lstm512"),
    w("gru512_n16", "t=25,n=16,i=512,h=512,bias=both", "the layer of lstm512"),
    w("gru512_n32", "t=25,n=32,i=512,h=512,bias=both", "the layer of lstm512"),
    w("gru1024_n32", "t=25,n=32,i=1024,h=1024,bias=both", "DeepBench gru1024, the first 25 steps"),
    w("packed.gru512_n32", "t=25,n=32,i=512,h=512,bias=both,lengths=given", "over sequences of 0 to 25 steps"),
    w("gru512_n16_train", "t=25,n=16,i=512,h=512,bias=both,keep=yes", "the layer of lstm512"),
    w("gru512_n32_train", "t=25,n=32,i=512,h=512,bias=both,keep=yes", "the layer of lstm512"),
];

/// Of `gru_backward`.
pub static GRU_BACKWARD: &[Workload] = &[
    w("small.unroll_tail", "t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("gru512_n16", "t=25,n=16,i=512,h=512,bias=both", "the layer of lstm512"),
    w("gru512_n32", "t=25,n=32,i=512,h=512,bias=both", "the layer of lstm512"),
];

/// Of `rnn`.
pub static RNN: &[Workload] = &[
    w("small.unroll_tail", "f=relu,t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "f=tanh,n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("deepbench.vanilla64_device", "f=relu,t=96,i=64,h=64,bias=both", DEEPBENCH),
    w("deepspeech2", "f=relu,t=50,i=1760,h=1760,bias=both", BENCHDNN),
    w("deepbench.vanilla1760_n16", "f=relu,t=50,n=16,i=1760,h=1760,bias=both", DEEPBENCH),
    w("rnn512", "f=tanh,t=25,i=512,h=512,bias=both", "the layer of lstm512"),
    w("rnn512_n16", "f=tanh,t=25,n=16,i=512,h=512,bias=both", "the layer of lstm512"),
    w("rnn512_n32", "f=tanh,t=25,n=32,i=512,h=512,bias=both", "the layer of lstm512"),
];

/// Of `rnn_backward`.
pub static RNN_BACKWARD: &[Workload] = &[
    w("small.unroll_tail", "f=relu,t=3,n=20,i=36,h=36,bias=both", BENCHDNN).smoke(),
    w("small.non_uniform_tail", "f=tanh,n=4,i=17,h=68,bias=both,state=given", BENCHDNN).smoke(),
    w("rnn512_n16", "f=tanh,t=25,n=16,i=512,h=512,bias=both", "the layer of lstm512"),
    w("rnn512_n32", "f=relu,t=25,n=32,i=512,h=512,bias=both", "the layer of lstm512"),
];
