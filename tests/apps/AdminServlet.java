// A servlet container (Debian's libtomcat10-embed-java) with a page that only administrators may see. Keeps its
// files in the folder that it is given, and prints its port:
// java -cp /usr/share/java/tomcat10-embed-core.jar tests/apps/AdminServlet.java /tmp/tomcat
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.logging.LogManager;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

public class AdminServlet {
    static HttpServlet page(String text) {
        return new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
                response.setContentType("text/plain");
                response.getWriter().print(text);
            }
        };
    }

    public static void main(String[] arguments) throws Exception {
        LogManager.getLogManager().reset();
        String folder = arguments[0];
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(folder);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", folder);
        Tomcat.addServlet(context, "admin", page("secret"));
        Tomcat.addServlet(context, "open", page("open"));
        context.addServletMappingDecoded("/admin/*", "admin");
        context.addServletMappingDecoded("/", "open");
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
    }
}
