// Makes responses with Ollama's own packages: what its middleware writes for each API, for given responses of a model.
//
// It prints an array of cases for the unit tests of src/gateway/usage/response. The handlers in front of which the middleware stands are
// those of Ollama's server/routes.go, without a model: streamResponse and writeChatResponse, which that package does not export.
// Ids and times are replaced, so that every run prints the same.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/middleware"
)

// Case is a response, and what there is to know about it.
type Case struct {
	Name string `json:"name"`
	// The route.
	Path        string `json:"path"`
	HTTPStatus  int    `json:"http_status"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
	// What the caller would have got without stream_options.include_usage; only where that was set.
	Without *string `json:"without,omitempty"`
	// How it ended: complete or failed.
	Status string `json:"status"`
	// The counts, where the response reports them.
	Input  *int `json:"input"`
	Output *int `json:"output"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	gin.SetMode(gin.ReleaseMode)
	home, err := os.MkdirTemp("", "go_responses")
	must(err)
	defer os.RemoveAll(home)
	must(os.Setenv("HOME", home))
	out, err := json.MarshalIndent(cases(), "", " ")
	must(err)
	_, err = os.Stdout.Write(append(out, '\n'))
	must(err)
}

// streamResponse is that of server/routes.go.
func streamResponse(c *gin.Context, ch chan any) {
	c.Header("Content-Type", "application/x-ndjson")
	c.Stream(func(w io.Writer) bool {
		val, ok := <-ch
		if !ok {
			return false
		}
		if h, ok := val.(gin.H); ok {
			if e, ok := h["error"].(string); ok {
				status, ok := h["status"].(int)
				if !ok {
					status = http.StatusInternalServerError
				}
				if !c.Writer.Written() {
					c.Header("Content-Type", "application/json")
					c.JSON(status, gin.H{"error": e})
				} else {
					must(json.NewEncoder(c.Writer).Encode(gin.H{"error": e}))
				}
				return false
			}
		}
		bts, err := json.Marshal(val)
		must(err)
		_, err = w.Write(append(bts, '\n'))
		return err == nil
	})
}

// whole is what writeChatResponse and GenerateHandler of server/routes.go make of the messages of a stream.
func whole(c *gin.Context, values []any) {
	var chat api.ChatResponse
	var generate api.GenerateResponse
	var calls []api.ToolCall
	var thinking, content strings.Builder
	for _, value := range values {
		switch t := value.(type) {
		case api.ChatResponse:
			thinking.WriteString(t.Message.Thinking)
			content.WriteString(t.Message.Content)
			calls = append(calls, t.Message.ToolCalls...)
			chat = t
		case api.GenerateResponse:
			thinking.WriteString(t.Thinking)
			content.WriteString(t.Response)
			generate = t
		case gin.H:
			c.JSON(http.StatusInternalServerError, gin.H{"error": t["error"]})
			return
		}
	}
	if generate.Model != "" {
		generate.Thinking, generate.Response = thinking.String(), content.String()
		c.JSON(http.StatusOK, generate)
		return
	}
	chat.Message.Thinking, chat.Message.Content = thinking.String(), content.String()
	chat.Message.ToolCalls = calls
	c.JSON(http.StatusOK, chat)
}

// The route of a path, which answers with these values.
func server(path string, values []any) *httptest.Server {
	handler := func(c *gin.Context) {
		var request struct {
			Stream *bool `json:"stream"`
		}
		body, err := io.ReadAll(c.Request.Body)
		must(err)
		must(json.Unmarshal(body, &request))
		if len(values) == 1 {
			switch value := values[0].(type) {
			case api.EmbedResponse, api.EmbeddingResponse:
				c.JSON(http.StatusOK, value)
				return
			}
		}
		if request.Stream != nil && !*request.Stream {
			whole(c, values)
			return
		}
		ch := make(chan any)
		go func() {
			defer close(ch)
			for _, value := range values {
				ch <- value
			}
		}()
		streamResponse(c, ch)
	}
	middlewares := map[string]gin.HandlerFunc{
		"/v1/chat/completions":     middleware.ChatMiddleware(),
		"/v1/completions":          middleware.CompletionsMiddleware(),
		"/v1/embeddings":           middleware.EmbeddingsMiddleware(),
		"/v1/responses":            middleware.ResponsesMiddleware(),
		"/v1/messages":             middleware.AnthropicMessagesMiddleware(),
		"/v1/audio/transcriptions": middleware.TranscriptionMiddleware(),
	}
	r := gin.New()
	if converts, ok := middlewares[path]; ok {
		r.POST(path, converts, handler)
	} else {
		r.POST(path, handler)
	}
	// What the middleware asks for the web search.
	r.POST("/api/experimental/web_search", func(c *gin.Context) {
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": "no search today"})
	})
	return httptest.NewServer(r)
}

var (
	ids   = regexp.MustCompile(`"(chatcmpl-|cmpl-|resp_|msg_|rs_|fc_|ws_|req_)(?:resp_)?[0-9a-f_]+"`)
	times = regexp.MustCompile(`"(created|created_at|completed_at)":[0-9]+`)
)

// The response to a request.
func response(path, contentType, request string, values []any) Case {
	to := server(path, values)
	defer to.Close()
	must(os.Setenv("OLLAMA_HOST", to.URL))
	client := http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	answer, err := client.Post(to.URL+path, contentType, strings.NewReader(request))
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	text := ids.ReplaceAllString(string(body), `"${1}1"`)
	text = times.ReplaceAllString(text, `"$1":1764000000`)
	return Case{Path: path, HTTPStatus: answer.StatusCode, ContentType: answer.Header.Get("Content-Type"), Body: text}
}
