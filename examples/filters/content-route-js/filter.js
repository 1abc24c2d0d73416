// Routes messages by what their JSON body says: the first rule that fits gives the property.
import * as command from 'gimbal:filter/command@0.1.0';
import * as messages from 'gimbal:filter/messages@0.1.0';
import { answer, configured, drop, forward, interest, logged, MESSAGE_ILLEGAL, SENDS, text } from './gimbal.js';

// { property, otherwise, topics, rules: [{ path, equals | above, route }] }
let config;

export const lifecycle = {
  init: configured((given) => {
    config = { property: 'route', otherwise: 'default', topics: [], ...given };
    for (const rule of config.rules) rule.steps = rule.path.split('.');
    return [interest({ codes: SENDS, topics: config.topics, needsBody: true })];
  }),
};

// What lies at a path such as `customer.country`; nothing where there is no such thing.
const at = (value, steps) => steps.reduce((inner, step) => inner?.[step], value);

const fits = (rule, value) => {
  const found = at(value, rule.steps);
  return rule.above === undefined ? found === rule.equals : typeof found === 'number' && found > rule.above;
};

const route = (body) => config.rules.find((rule) => fits(rule, body))?.route ?? config.otherwise;

export const requests = {
  onRequest: logged((code) => {
    for (let i = 0; i < messages.count(); i++) {
      let body;
      try {
        body = JSON.parse(text(messages.body(i)));
      } catch (error) {
        return command.isOneway() ? drop() : answer(MESSAGE_ILLEGAL, `message ${i} is no JSON: ${error.message}`);
      }
      messages.setProperty(i, config.property, route(body));
    }
    return forward();
  }),
};
