// Stamps every message with facts about its client, which the client cannot forge.
package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"gimbal"
	"gimbal/requests"
)

// The table `config` of the filter's settings; these are the defaults.
var config = struct {
	// What the stamped properties begin with.
	Prefix string `json:"prefix"`
	// Which facts are stamped.
	Facts []string `json:"facts"`
}{Prefix: "x-client-", Facts: []string{"ip", "language", "version", "user", "listener"}}

// What is known about a client, by name; empty where it is not known.
var facts = map[string]func() string{
	"ip":         gimbal.Client.IP,
	"language":   gimbal.Client.Language,
	"version":    func() string { return strconv.Itoa(int(gimbal.Client.Version())) },
	"listener":   gimbal.Client.Listener,
	"user":       known(gimbal.Client.User),
	"id":         known(gimbal.Client.ID),
	"connection": func() string { return strconv.FormatUint(gimbal.Client.Connection(), 10) },
}

func known(fact func() (string, bool)) func() string {
	return func() string {
		text, _ := fact()
		return text
	}
}

func configure(text string) ([]gimbal.Interest, error) {
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return nil, err
	}
	if config.Prefix == "" {
		return nil, errors.New("prefix is empty; accepted: the beginning of the properties' names, such as x-client-")
	}
	for _, name := range config.Facts {
		if facts[name] == nil {
			return nil, errors.New("facts: there is no " + name + "; accepted: ip, language, version, listener, user, id, connection")
		}
	}
	return []gimbal.Interest{{Codes: gimbal.Sends, NeedsBody: true}}, nil
}

func decide(code int32) gimbal.Verdict {
	messages, err := gimbal.Messages()
	if err != nil {
		return refuse(err)
	}
	for _, message := range messages {
		if err := stamp(message); err != nil {
			return refuse(err)
		}
	}
	return gimbal.Forward()
}

func refuse(why error) gimbal.Verdict {
	if gimbal.IsOneway() {
		return gimbal.Drop()
	}
	return gimbal.Answer(gimbal.MessageIllegal, why.Error())
}

// What the client itself wrote under these names goes first, known or not.
func stamp(message gimbal.Message) error {
	for _, property := range message.Properties() {
		if strings.HasPrefix(property.Name, config.Prefix) {
			if _, err := message.RemoveProperty(property.Name); err != nil {
				return err
			}
		}
	}
	for _, name := range config.Facts {
		if fact := facts[name](); fact != "" {
			if err := message.SetProperty(config.Prefix+name, fact); err != nil {
				return err
			}
		}
	}
	return nil
}

func init() {
	gimbal.OnInit(configure)
	requests.Handle(decide)
}

// Never called: the host calls what init registered.
func main() {}
