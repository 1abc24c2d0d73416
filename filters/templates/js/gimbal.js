// Exceptions end a call, and their text is lost outside of the guest: here they are logged before they leave it.
import { write } from 'gimbal:filter/log@0.1.0';

// A hook, such as onRequest, that tells the log why it ended.
export const logged = (hook) => (...given) => {
  try {
    return hook(...given);
  } catch (error) {
    write('error', `${error}\n${error?.stack ?? ''}`);
    throw error;
  }
};

// The function init: gets the configuration as an object; what it throws is for the operator to read.
export const configured = (init) => (text) => {
  try {
    return init(JSON.parse(text));
  } catch (error) {
    // A result's error is thrown as it is: a text.
    throw `${error?.message ?? error}`;
  }
};

// Codes of sends: plain, second version, batch, reply, second version.
export const SENDS = [10, 310, 320, 324, 325];
// Codes whose answers bring messages: pull, lite pull, pop.
export const PULLS = [11, 361, 200050];
// Response codes that fit refusals.
export const SYSTEM_ERROR = 1;
export const MESSAGE_ILLEGAL = 13;
export const NO_PERMISSION = 16;

// An interest; what is not given means any.
export const interest = ({ codes = [], phase = 'request', topics = [], groups = [], needsBody = false }) =>
  ({ codes, phase, topics, groups, needsBody });

// Verdicts.
export const forward = () => ({ tag: 'forward' });
export const answer = (code, remark, fields = [], body = new Uint8Array()) =>
  ({ tag: 'answer', val: { code, remark, fields, body } });
export const delay = (millis) => ({ tag: 'delay', val: millis });
export const drop = () => ({ tag: 'drop' });
export const close = (why) => ({ tag: 'close', val: why });

// The text of a body in UTF-8; QuickJS has no TextDecoder.
export const text = (bytes) => {
  let plain = '';
  for (let at = 0; at < bytes.length; at += 8192) plain += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return decodeURIComponent(escape(plain));
};
