//! One pass over JSON at the door: white space dropped, everything doubtful refused.
