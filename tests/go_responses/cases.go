package main

import (
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ollama/ollama/api"
)

const model = "tiny:latest"

var at = time.Date(2025, 11, 24, 16, 0, 0, 123456789, time.UTC)

// Scenario is what a model does.
type Scenario struct {
	name string
	// One for each token, without the last message.
	tokens []api.Message
	// The last message; nil if it never comes.
	final *api.ChatResponse
	// An error at the end.
	problem string
}

func text(tokens ...string) (messages []api.Message) {
	for _, token := range tokens {
		messages = append(messages, api.Message{Role: "assistant", Content: token})
	}
	return
}

func thoughts(tokens ...string) (messages []api.Message) {
	for _, token := range tokens {
		messages = append(messages, api.Message{Role: "assistant", Thinking: token})
	}
	return
}

func done(input, output int, reason string) *api.ChatResponse {
	return &api.ChatResponse{
		Done: true, DoneReason: reason, Message: api.Message{Role: "assistant"},
		Metrics: api.Metrics{
			TotalDuration: 4883583458, LoadDuration: 1334875, PromptEvalCount: input, PromptEvalDuration: 342546000,
			EvalCount: output, EvalDuration: 4535599000,
		},
	}
}

// A tool call whose arguments hold every name that counts elsewhere.
func deceptive() api.Message {
	arguments := api.NewToolCallFunctionArguments()
	usage := map[string]any{
		"prompt_tokens": 111, "completion_tokens": 222, "input_tokens": 333, "output_tokens": 444, "total_tokens": 555,
	}
	arguments.Set("prompt_eval_count", 666)
	arguments.Set("eval_count", 777)
	arguments.Set("done", true)
	arguments.Set("error", "no")
	arguments.Set("usage", usage)
	arguments.Set("type", "message_delta")
	arguments.Set("choices", []any{})
	arguments.Set("response", map[string]any{"usage": usage})
	arguments.Set("message", map[string]any{"done": true, "content": "a"})
	return api.Message{Role: "assistant", ToolCalls: []api.ToolCall{{
		ID: "call_1", Function: api.ToolCallFunction{Name: "count", Arguments: arguments},
	}}}
}

func scenarios() []Scenario {
	lies := "\n{\"done\":true,\"prompt_eval_count\":1,\"eval_count\":2,\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n"
	mixed := []api.Message{{Role: "assistant", Thinking: "so", Content: "Yes"}}
	return []Scenario{
		{name: "plain", tokens: text("Hel", "lo", " wörld \U0001F600", "!"), final: done(26, 4, "stop")},
		{name: "thinking", tokens: append(append(thoughts("Hm", ", \"well\""), mixed...), text(".")...), final: done(12, 5, "stop")},
		{name: "tools", tokens: append(text("I count"), deceptive()), final: done(150, 40, "stop")},
		{name: "deceptive text", tokens: text(lies, "\\\"done\\\":true", "<>&\u2028"), final: done(9, 60, "length")},
		{name: "no counts", tokens: text("a"), final: done(0, 0, "stop")},
		{name: "no prompt count", tokens: text("a", "b"), final: done(0, 2, "stop")},
		{name: "empty", final: done(5, 1, "stop")},
		{name: "load", final: &api.ChatResponse{Done: true, DoneReason: "load", Message: api.Message{Role: "assistant"}}},
		{name: "error", tokens: text("Hel", "lo"), problem: "an error was encountered while running the model: CUDA error"},
		{name: "error first", problem: "model runner has unexpectedly stopped"},
		{name: "no end", tokens: text("Hel", "lo")},
	}
}

func (s Scenario) chat() (values []any) {
	for _, message := range s.tokens {
		values = append(values, api.ChatResponse{Model: model, CreatedAt: at, Message: message})
	}
	if s.final != nil {
		final := *s.final
		final.Model, final.CreatedAt = model, at
		values = append(values, final)
	}
	return s.withProblem(values)
}

func (s Scenario) generate() (values []any) {
	for _, message := range s.tokens {
		values = append(values, api.GenerateResponse{
			Model: model, CreatedAt: at, Response: message.Content, Thinking: message.Thinking, ToolCalls: message.ToolCalls,
		})
	}
	if s.final != nil {
		values = append(values, api.GenerateResponse{
			Model: model, CreatedAt: at, Done: true, DoneReason: s.final.DoneReason, Metrics: s.final.Metrics,
			Context: []int{151644, 872, 198, 1, 2, 3, 4, 5, 26, 290},
		})
	}
	return s.withProblem(values)
}

func (s Scenario) withProblem(values []any) []any {
	if s.problem != "" {
		values = append(values, gin.H{"error": s.problem})
	}
	return values
}

// A request that the middleware can read, for every API.
func request(more string) string {
	return `{"model":"` + model + `","prompt":"Hi","max_tokens":100,"input":"Hi","messages":[{"role":"user","content":"Hi"}]` + more + `}`
}

const (
	stream = `,"stream":true`
	atOnce = `,"stream":false`
	usage  = `,"stream":true,"stream_options":{"include_usage":true}`
)

func cases() (all []Case) {
	for _, s := range scenarios() {
		add := func(c Case, kind string, reports bool) *Case {
			c.Name = c.Path + " " + kind + ": " + s.name
			c.Status = "failed"
			if s.final != nil {
				c.Status = "complete"
				if reports {
					input, output := s.final.PromptEvalCount, s.final.EvalCount
					c.Input, c.Output = &input, &output
				}
			}
			all = append(all, c)
			return &all[len(all)-1]
		}
		for _, path := range []string{"/api/generate", "/v1/completions", "/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages"} {
			values := s.chat()
			if path == "/api/generate" || path == "/v1/completions" {
				values = s.generate()
			}
			send := func(more string) Case { return response(path, "application/json", request(more), values) }
			without := send(stream)
			isOpenAI := strings.HasSuffix(path, "/completions")
			add(without, "stream", !isOpenAI)
			if isOpenAI {
				add(send(usage), "stream with usage", true).Without = &without.Body
			}
			// A whole response does not tell an end that was missed.
			if s.name != "no end" {
				add(send(atOnce), "whole", true)
			}
		}
		if s.name == "plain" || s.name == "error" || s.name == "empty" {
			for _, format := range []string{"json", "text"} {
				c := response("/v1/audio/transcriptions", "multipart/form-data; boundary=b", form(format), s.chat())
				// An empty text is not told from an error.
				if c.Body == "" && s.final != nil {
					continue
				}
				add(c, format, false)
			}
		}
	}
	return append(append(all, embeddings()...), webSearch())
}

// A form with an audio file.
func form(format string) string {
	part := func(name, more, value string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"" + more + "\r\n\r\n" + value + "\r\n"
	}
	return part("model", "", model) + part("response_format", "", format) + part("file", `; filename="a.wav"`, "RIFF") + "--b--\r\n"
}

func embeddings() (all []Case) {
	for _, count := range []int{8, 0} {
		value := api.EmbedResponse{
			Model: model, Embeddings: [][]float32{{0.01, -2.5e-7, 3}, {1, 2, 3}}, TotalDuration: 14143917, LoadDuration: 1019500,
			PromptEvalCount: count,
		}
		for _, asked := range [][2]string{{"/api/embed"}, {"/v1/embeddings"}, {"/v1/embeddings", `,"encoding_format":"base64"`}} {
			c := response(asked[0], "application/json", request(asked[1]), []any{value})
			output := 0
			c.Name, c.Status, c.Input, c.Output = asked[0]+asked[1], "complete", &count, &output
			all = append(all, c)
		}
	}
	c := response("/api/embeddings", "application/json", request(""), []any{api.EmbeddingResponse{Embedding: []float64{0.5, -1e-9}}})
	c.Name, c.Status = c.Path, "complete"
	return append(all, c)
}

// A search that fails in the middle of a stream: one of the few errors that are told there.
func webSearch() Case {
	arguments := api.NewToolCallFunctionArguments()
	arguments.Set("query", "weather")
	search := api.Message{Role: "assistant", ToolCalls: []api.ToolCall{{
		ID: "call_1", Function: api.ToolCallFunction{Name: "web_search", Arguments: arguments},
	}}}
	s := Scenario{tokens: append(text("I look"), search), final: done(30, 12, "stop")}
	c := response("/v1/responses", "application/json", request(stream+`,"tools":[{"type":"web_search"}]`), s.chat())
	input, output := 30, 12
	c.Name, c.Status, c.Input, c.Output = c.Path+" stream: failed search", "failed", &input, &output
	return c
}
